"""Prepare one dataset: `--name photos32 --settings '<its entry in config>' --output-dir resources/data/photos32`."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from vaeglow.config.check import outside
from vaeglow.data.kinds import prepare
from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--name", required=True, help="the dataset's name in config")
    parser.add_argument("--settings", required=True, help="its entry in config, as JSON")
    parser.add_argument("--output-dir", required=True, type=Path, help="where the arrays and dataset.json go")
    parser.add_argument("--threads", required=True, type=int, help="that decode image files; no value depends on it")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Prepare the dataset and say what it holds."""
    options = parse(argv)
    settings = cli.json_object("--settings", options.settings)
    for line in outside({"datasets": {options.name: settings}}, Path.cwd()):
        print(line)
    info = prepare(options.name, settings, options.output_dir, options.threads)
    broken = info["source"].get("broken_files", {})
    for file, reason in broken.items():
        print(f"skipped {file}: {reason}")
    counts = ", ".join(f"{count} {split}" for split, count in info["counts"].items())
    skipped = f"; {len(broken)} broken files skipped" if broken else ""
    print(f"{options.name}: {counts} images of {info['channels']}x{info['size']}x{info['size']}{skipped}")


if __name__ == "__main__":
    cli.run(main)
