"""Train on a trained base (paper, sections 3.3 and 3.4): the Glow layer on a frozen VAE, or all of a model further.

Mode `frozen` is phase 2: the base is a VAE, only the layer moves. Mode `finetune` is joint training after the two
phases: the base is a VAE under its Glow layer, and all of VAE, prior and layer move.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.training_parser(__doc__)
    parser.add_argument("--base", required=True, help="weights of the model it stands on")
    parser.add_argument("--base-training", required=True, help="that model's training.json")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, or go on training, one run."""
    options = parse(argv)
    from vaeglow.training.run import train_run

    train_run(options, kind="vae_glow", modes=("frozen", "finetune"))


if __name__ == "__main__":
    cli.run(main)
