"""Time training steps and sampling of several models in turns (paper, section 4.3 and Table 4). Nothing is trained."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--config", required=True, nargs="+", help="each model's resolved config, as JSON text")
    parser.add_argument("--data-dir", required=True, help="folder of the prepared dataset")
    parser.add_argument("--timing", required=True, help="the config's section `timing`, as JSON text")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--threads", required=True, type=int, help="CPU threads inside torch")
    parser.add_argument("--output", required=True, help="output: seconds and memory, .json")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Build, time, write."""
    options = parse(argv)
    configs = [cli.json_object("--config", text) for text in options.config]
    timing = cli.json_object("--timing", options.timing)
    from vaeglow.device import pick_device
    from vaeglow.files import sha256_json, write_json
    from vaeglow.provenance import collect, seal
    from vaeglow.training.run import check_data
    from vaeglow.training.timing import time_in_turns

    device = pick_device(options.device)
    provenance = collect(str(device))
    for config in configs:
        info = check_data(config, options.data_dir)
    found = time_in_turns(configs, options.data_dir, device, options.threads, timing[device.type])
    for config in configs:
        found[config["model"]] |= {"kind": config["kind"], "config_sha256": sha256_json(config)}
    result = {
        **{key: configs[0][key] for key in ("preset", "dataset", "seed")},
        "device": provenance["device"],
        "device_kind": device.type,
        "threads": options.threads,
        "epoch_images": timing["epoch_images"],
        "rounds": timing[device.type]["windows"],
        "models": found,
        "data_sha256": sha256_json(info["sha256"]),
        "provenance": provenance,
    }
    write_json(options.output, seal(result))
    print(f"{', '.join(found)}: {result['rounds']} rounds", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
