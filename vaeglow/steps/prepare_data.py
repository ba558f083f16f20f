"""Prepare one dataset: `--name photos32 --settings '<its entry in config>' --output-dir resources/data/photos32`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from vaeglow.data.arrays import read_info
from vaeglow.data.prepare import prepare
from vaeglow.errors import UserError
from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--name", required=True, help="the dataset's name in config")
    parser.add_argument("--settings", required=True, help="its entry in config, as JSON")
    parser.add_argument("--output-dir", required=True, type=Path, help="where the arrays and dataset.json go")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Prepare the dataset and say what it holds."""
    options = parse(argv)
    try:
        settings = json.loads(options.settings)
    except json.JSONDecodeError as error:
        raise UserError(f"--settings is not JSON ({error}): give the dataset's entry of config as one object") from None
    if not isinstance(settings, dict):
        raise UserError("--settings is not a JSON object: give the dataset's entry of config")
    prepare(options.name, settings, options.output_dir)
    info = read_info(options.output_dir)
    broken = info["source"].get("broken_files", {})
    for file, reason in broken.items():
        print(f"skipped {file}: {reason}")
    counts = ", ".join(f"{count} {split}" for split, count in info["counts"].items())
    skipped = f"; {len(broken)} broken files skipped" if broken else ""
    print(f"{options.name}: {counts} images of {info['channels']}x{info['size']}x{info['size']}{skipped}")


if __name__ == "__main__":
    cli.run(main)
