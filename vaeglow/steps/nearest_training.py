"""The training images nearest to a run's first samples, and whether samples are nearer to them than test images are."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--samples", required=True, type=Path, help="npz file of the step sample")
    parser.add_argument("--config", required=True, type=Path, help="the run's config.json")
    parser.add_argument("--data-dir", required=True, type=Path, help="prepared dataset")
    parser.add_argument("--weights", required=True, type=Path, help="file of the step inception_weights")
    parser.add_argument("--settings", required=True, help="probes.nearest_training of the config, as JSON")
    parser.add_argument("--batch-size", required=True, type=int, help="images at a time")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--threads", required=True, type=int, help="CPU threads inside torch")
    parser.add_argument("--output", required=True, type=Path, help="npz file to write")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    options = parse(argv)
    settings = cli.json_object("--settings", options.settings)
    from vaeglow.data.arrays import open_split, read_info, require_images
    from vaeglow.data.samples import SAMPLES_KEYS, read_samples, write_arrays
    from vaeglow.device import pick_device, set_threads
    from vaeglow.errors import UserError
    from vaeglow.evaluation.images import Spread
    from vaeglow.evaluation.inception import load_inception, load_weights
    from vaeglow.evaluation.nearest_training import copies, find_nearest, nearer_than_test
    from vaeglow.files import read_json, sha256_file, sha256_json
    from vaeglow.provenance import collect

    set_threads(options.threads)
    device = pick_device(options.device)
    provenance = collect(str(device))
    samples, sampled = read_samples(options.samples)
    config, info = read_json(options.config), read_info(options.data_dir)
    hashes = {"config_sha256": sha256_json(config), "data_sha256": sha256_json(info["sha256"])}
    if any(sampled[key] != value for key, value in hashes.items()):
        raise UserError(f"{options.samples} is not of {options.config} on {options.data_dir}: run step sample again")
    count, shown, neighbours = (settings[key] for key in ("samples", "shown", "neighbours"))
    where, remedy = "probes.nearest_training", "lower it, or draw more (steps sample, prepare_data)"
    require_images(len(samples), count, str(options.samples), f"{where}.samples", remedy)
    require_images(count, shown, f"{where}.samples", f"{where}.shown", "raise the one or lower the other")
    train, test = (open_split(options.data_dir, split) for split in ("train", "test"))
    train = train[: config["data"]["train_subset"]]  # what the run trained on
    looked = Spread(train, min(len(train), settings["training_images"] or len(train)))
    require_images(len(looked), neighbours, "what is looked through", f"{where}.neighbours", remedy)
    samples, test = samples[:count], Spread(test, min(len(test), settings["test_images"]))[:]
    net = load_inception(options.weights, settings["features"], device)
    batches = {"batch_size": options.batch_size, "device": device, "levels": info["levels"]}
    near, near_test = find_nearest((samples, test), looked, net, neighbours, **batches)
    metadata = {
        **{key: sampled[key] for key in SAMPLES_KEYS},
        **{"samples": count, "test_images": len(test)},
        **{"training_images": len(looked), "all_training_images": len(train)},
        "features": settings["features"],
        **nearer_than_test(near.distances[:, 0], near_test.distances[:, 0]),
        "copies": int(copies(samples, train).sum()),
        "test_copies": int(copies(test, train).sum()),
        "samples_sha256": sha256_file(options.samples),
        "inception_sha256": load_weights(options.weights)[1],
        "provenance": provenance,
    }
    images = {"images": samples[:shown], "neighbours": train[near.indices[:shown]]}
    found = {"distances": near.distances, "indices": near.indices, "test_distances": near_test.distances[:, 0]}
    write_arrays(options.output, metadata, images | found)


if __name__ == "__main__":
    cli.run(main)
