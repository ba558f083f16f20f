"""Train the Glow baseline (Kingma & Dhariwal 2018; paper, section 4.2)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    return cli.training_parser(__doc__).parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, or go on training, one run."""
    options = parse(argv)
    from vaeglow.training.run import train_run

    train_run(options, kind="glow")


if __name__ == "__main__":
    cli.run(main)
