"""Train the Glow baseline (Kingma & Dhariwal 2018; paper, section 4.2)."""

from __future__ import annotations

from argparse import Namespace

from vaeglow.steps import cli


def parse(argv: list[str] | None = None) -> Namespace:
    """The step's flags."""
    return cli.training_parser(__doc__).parse_args(argv)


def main() -> None:
    """Train, or go on training, one run."""
    options = parse()
    from vaeglow.training.run import train_run

    train_run(options, kind="glow")


if __name__ == "__main__":
    cli.run(main)
