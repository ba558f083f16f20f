"""Fetch the Inception weights of FID, checked by hash, in one safetensors file."""

from pathlib import Path

from vaeglow.steps import cli


@cli.step
def main(*, settings: dict, output: Path) -> None:
    """The file holds no times: its bytes are the same on every machine.

    Args:
        settings: evaluation.inception of the config, as JSON
    """
    from vaeglow.evaluation.inception import KEY, obtain_weights
    from vaeglow.weights import write_tensors

    state, origin = obtain_weights(settings)
    write_tensors(output, state, KEY, origin)
    print(f"{output}: from {origin['source']}")
