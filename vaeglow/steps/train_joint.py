"""Train VAE, prior and Glow layer together from the start (paper, section 3.4)."""

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

    train_run(options, kind="vae_glow", modes=("joint",))


if __name__ == "__main__":
    cli.run(main)
