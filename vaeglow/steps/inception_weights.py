"""Fetch the Inception weights of FID, checked by hash, in one safetensors file."""

import sys
from pathlib import Path

from vaeglow.steps import cli


@cli.step
def main(*, settings: dict, output: Path) -> None:
    """The file holds no times: its bytes are the same on every machine.

    Args:
        settings: evaluation.inception of the config, as JSON
    """
    from vaeglow.evaluation.inception import obtain_weights, save_weights

    state, origin = obtain_weights(settings)
    save_weights(output, state, origin)
    print(f"{output}: from {origin['source']}", file=sys.stderr)
