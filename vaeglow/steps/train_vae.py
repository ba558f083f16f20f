"""Phase 1: train a VAE and its prior (paper, sections 3.1, 3.2 and 3.4)."""

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

    train_run(options, kind="vae")


if __name__ == "__main__":
    cli.run(main)
