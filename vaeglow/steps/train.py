"""Train one run, or go on training it (paper, sections 3 and 4.2): its config.json says what.

A VAE with its prior (phase 1), the Glow layer on a frozen VAE (phase 2), all of them together or further (section 3.4),
the second stage of a two-stage VAE (section 4.1), or Glow.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--config", required=True, help="the run's config.json")
    parser.add_argument("--data-dir", required=True, help="folder of the prepared dataset")
    parser.add_argument("--base", help="weights of the model it stands on, where it stands on one")
    parser.add_argument("--base-training", help="that model's training.json")
    parser.add_argument("--state-dir", required=True, help="folder for resume state and lock")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument(
        "--memory", required=True, choices=("stored", "checkpoint"), help="what becomes of a flow's activations"
    )
    parser.add_argument("--save-minutes", required=True, type=float, help="save resume state at least this often")
    parser.add_argument("--tensorboard", action="store_true", help="write event files beside the state folder")
    parser.add_argument("--model", required=True, help="output: weights, .safetensors")
    parser.add_argument("--history", required=True, help="output: a row an epoch, .csv")
    parser.add_argument("--training", required=True, help="output: epochs, seconds, hashes, .json")
    parser.add_argument("--snapshots", required=True, help="output: weights at fractions of the run, .safetensors")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, or go on training, one run."""
    options = parse(argv)
    from vaeglow.training.run import train_run

    train_run(options)


if __name__ == "__main__":
    cli.run(main)
