"""Draw one run's training: loss terms, bits/dim, learning rate, gradient norm and speed against epochs."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--history", required=True, help="the run's history.csv")
    parser.add_argument("--training", required=True, help="the run's training.json")
    parser.add_argument("--output", nargs="+", required=True, help="files to write, .png and .pdf")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Read, check, draw, write.

    Raises:
        UserError: files that are missing, damaged or do not belong together.
    """
    options = parse(argv)
    from vaeglow.reporting import style
    from vaeglow.reporting.training_curves import draw

    style.save(draw(options.history, options.training), *options.output)


if __name__ == "__main__":
    cli.run(main)
