"""Fetch the Inception weights of FID, checked by hash, in one safetensors file."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from vaeglow.steps import cli


def parse(argv: list[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--settings", required=True, help="evaluation.inception of the config, as JSON")
    parser.add_argument("--output", required=True, type=Path, help="safetensors file to write")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Run the step."""
    options = parse(argv)
    settings = cli.json_object("--settings", options.settings)
    from vaeglow.evaluation.inception import obtain_weights, save_weights

    state, origin = obtain_weights(settings)
    save_weights(options.output, state, origin)  # no times: results know the file by its bytes, on every machine
    print(f"{options.output}: from {origin['source']}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
