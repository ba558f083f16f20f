"""Fetch the Inception weights of FID, checked by hash, in one safetensors file."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from vaeglow.errors import UserError
from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="inception_weights", description=__doc__, allow_abbrev=False)
    parser.add_argument("--settings", required=True, help="evaluation.inception of the config, as JSON")
    parser.add_argument("--output", required=True, type=Path, help="safetensors file to write")
    return parser.parse_args(argv)


def main() -> None:
    """Run the step."""
    options = parse()
    try:
        settings = json.loads(options.settings)
    except json.JSONDecodeError as error:
        raise UserError(f"--settings is not JSON ({error})") from None
    from vaeglow.evaluation.inception import save_weights
    from vaeglow.evaluation.inception_sources import obtain_weights

    state, origin = obtain_weights(settings)
    save_weights(options.output, state, origin)
    print(f"{options.output}: from {origin['source']}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
