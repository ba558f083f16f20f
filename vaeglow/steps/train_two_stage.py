"""Train the second stage of a two-stage VAE on a frozen first one (Dai & Wipf 2019; paper, section 4.1)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.training_parser(__doc__)
    parser.add_argument("--base", required=True, help="weights of the VAE it stands on")
    parser.add_argument("--base-training", required=True, help="that VAE's training.json")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, or go on training, one run."""
    options = parse(argv)
    from vaeglow.training.run import train_run

    train_run(options, kind="vae_two_stage")


if __name__ == "__main__":
    cli.run(main)
