"""Time one model's training step and sampling (paper, section 4.3 and Table 4). Nothing is trained or kept."""

from __future__ import annotations

import sys
import tempfile
from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--config", required=True, help="the run's resolved config, as JSON text")
    parser.add_argument("--data-dir", required=True, help="folder of the prepared dataset")
    parser.add_argument("--timing", required=True, help="the config's section `timing`, as JSON text")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--threads", required=True, type=int, help="CPU threads inside torch")
    parser.add_argument("--output", required=True, help="output: speed and memory, .json")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Build, time, write."""
    options = parse(argv)
    config, timing = cli.json_object("--config", options.config), cli.json_object("--timing", options.timing)
    from vaeglow.data.arrays import open_split
    from vaeglow.device import pick_device, set_threads
    from vaeglow.files import sha256_json
    from vaeglow.models.build import build
    from vaeglow.provenance import collect
    from vaeglow.results import write_result
    from vaeglow.run import Run
    from vaeglow.training.loop import Trainer
    from vaeglow.training.run import check_data
    from vaeglow.training.state import StateFolder
    from vaeglow.training.timing import measure

    device = pick_device(options.device)
    provenance = collect(str(device))
    set_threads(options.threads)
    info = check_data(config, options.data_dir)
    windows = timing[device.type]
    batch = windows["batch_size"] or config["training"]["batch_size"]
    timed = {**config, "training": {**config["training"], "batch_size": batch, "snapshots": []}}
    train, val = (open_split(options.data_dir, split) for split in ("train", "val"))
    with tempfile.TemporaryDirectory() as folder:  # a trainer has a state folder, which timing never writes to
        trainer = Trainer(build(timed), timed, train, val, device, StateFolder(folder, "timing"), float("inf"))
        speed = measure(trainer, windows, timing["epoch_images"])
    result = {
        **Run.of(config).identity,
        "kind": config["kind"],
        "device": provenance["device"],
        "device_kind": device.type,
        "threads": options.threads,
        **speed,
        "config_sha256": sha256_json(config),
        "data_sha256": sha256_json(info["sha256"]),
    }
    write_result(options.output, result, [], provenance)
    rate = speed["images_per_second"]
    print(f"{rate['median']:.1f} images/s ({rate['low']:.1f} to {rate['high']:.1f})", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
