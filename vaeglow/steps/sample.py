"""Draw images from a trained model into one .npz (paper, section 3.5), and the first of them into another."""

from pathlib import Path

from vaeglow.errors import UserError
from vaeglow.steps import cli


@cli.step
def main(*, model: Path, temperature: float, count: int, shown: int, device: str, output: Path) -> None:
    """Sample with the run's own seed; what figures show goes to `../shown`.

    Args:
        count: how many images
        shown: how many of them figures show
    """
    from vaeglow.evaluation.trained import TrainedRun, sample
    from vaeglow.results import write_result

    run = TrainedRun(model, device)
    drawn, exploded = sample(run.network, count, temperature, run.seed, run.device)
    if 2 * exploded > count:
        raise UserError(f"{exploded} of {count} samples are not finite: train the model with a lower rate")
    images = drawn.numpy()
    content = {**run.identity, "temperature": temperature, "exploded_samples": exploded}
    write_result(output, content, [run.path], run.provenance, {"images": images})
    few = output.parents[1] / "shown" / output.name
    write_result(few, content | {"samples": count}, [run.path], run.provenance, {"images": images[:shown]})
