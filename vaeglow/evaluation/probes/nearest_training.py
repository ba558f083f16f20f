"""The training images nearest to a run's first samples, and whether samples are nearer to them than test images are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vaeglow.evaluation.trained import TrainedRun

READS = ("model", "samples", "train", "test", "weights")
SCHEMA = {
    "samples": {"type": "integer", "minimum": 1, "description": "first samples looked at"},
    "test_images": {"type": "integer", "minimum": 1, "description": "test images compared with, at most all"},
    "training_images": {"type": ["integer", "null"], "minimum": 1, "description": "looked through, evenly; null: all"},
    "features": {"enum": [64, 192, 768, 2048], "description": "Inception layer that distances are measured in"},
    "neighbours": {"type": "integer", "minimum": 1, "description": "nearest training images kept of each"},
    "shown": {"type": "integer", "minimum": 1, "description": "samples kept beside their neighbours"},
}


def measure(run: TrainedRun, reads: Mapping[str, Path], settings: Mapping[str, Any]) -> tuple[dict, dict]:
    """See `vaeglow.evaluation.nearest_training`; training images are those the run trained on.

    Raises:
        UserError: samples of other weights, other data, or fewer images than are asked for.
    """
    from vaeglow.data.arrays import require_images
    from vaeglow.evaluation.images import Spread
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.evaluation.nearest_training import copies, find_nearest, nearer_than_test
    from vaeglow.results import read_result

    drawn = read_result(reads["samples"], ("images",), **run.identity)
    samples, count, shown = drawn.arrays["images"], settings["samples"], settings["shown"]
    where, remedy = "probes.nearest_training", "lower it, or draw more (steps sample, prepare_data)"
    require_images(len(samples), count, str(reads["samples"]), f"{where}.samples", remedy)
    require_images(count, shown, f"{where}.samples", f"{where}.shown", "raise the one or lower the other")
    train, test = run.images(reads["train"])[: run.config["data"]["train_subset"]], run.images(reads["test"])
    looked = Spread(train, min(len(train), settings["training_images"] or len(train)))
    require_images(len(looked), settings["neighbours"], "what is looked through", f"{where}.neighbours", remedy)
    samples, test = samples[:count], Spread(test, min(len(test), settings["test_images"]))[:]
    net = load_inception(reads["weights"], settings["features"], run.device)
    batches = {"batch_size": settings["batch_size"], "device": run.device, "levels": run.network.levels}
    near, near_test = find_nearest((samples, test), looked, net, settings["neighbours"], **batches)
    content = {
        **{"temperature": drawn.value("temperature"), "samples": count, "test_images": len(test)},
        **{"training_images": len(looked), "all_training_images": len(train), "features": settings["features"]},
        **nearer_than_test(near.distances[:, 0], near_test.distances[:, 0]),
        "copies": int(copies(samples, train).sum()),
        "test_copies": int(copies(test, train).sum()),
    }
    images = {"images": samples[:shown], "neighbours": train[near.indices[:shown]]}
    found = {"distances": near.distances, "indices": near.indices, "test_distances": near_test.distances[:, 0]}
    return content, images | found
