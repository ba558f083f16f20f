"""Train or resume one run (paper, sections 3 and 4.2), described by its config.json.

A VAE with its prior (phase 1), the Glow layer on a frozen VAE (phase 2), all of them jointly, or fine-tuned (section
3.4), the second stage of a two-stage VAE (section 4.1), or a baseline (Glow, PixelCNN, PixelIQN, Residual Flow).
"""

from argparse import Namespace
from typing import Literal

from vaeglow.steps import cli


@cli.step
def main(
    *,
    config: str,
    data_dir: str,
    base: str | None = None,
    base_training: str | None = None,
    state_dir: str,
    device: str,
    memory: Literal["stored", "checkpoint"],
    save_minutes: float,
    tensorboard: bool,
    model: str,
    history: str,
    training: str,
    snapshots: str,
) -> None:
    """Train or resume one run.

    Args:
        config: the run's config.json
        base: weights of its base model, if it has one
        base_training: that model's training.json
        state_dir: folder for resume state and lock
        save_minutes: save resume state at least this often
        tensorboard: write event files next to the state folder
        model: output: weights, .safetensors
        history: output: a row an epoch, .csv
        training: output: epochs, seconds, hashes, .json
        snapshots: output: weights at fractions of the run, .safetensors
    """
    options = Namespace(**locals())
    from vaeglow.training.run import train_run

    train_run(options)
