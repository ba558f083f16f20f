"""Bits per dimension of the test split by the bounds of the paper's eq. 1 and 4, with fresh noise."""

from pathlib import Path

from vaeglow.steps import cli


@cli.step
def main(
    *,
    model: Path,
    data_dir: Path,
    batch_size: int,
    importance_samples: list[int] = (),
    importance_images: int,
    device: str,
    output: Path,
) -> None:
    """Evaluate with the run's own seed; bits/dim of each image go to .npz next to `output`.

    Args:
        importance_samples: K of the tighter bounds
        importance_images: first test images those bounds use
    """
    from vaeglow.evaluation.likelihood import evaluate_likelihood
    from vaeglow.evaluation.trained import TrainedRun
    from vaeglow.results import write_result

    run = TrainedRun(model, device)
    images = run.images(data_dir / "test.npy")
    summary, per_image = evaluate_likelihood(
        run.network, images, batch_size, importance_samples, importance_images, run.seed, run.device
    )
    about = {"split": "test", **run.identity}
    arrays = output.with_suffix(".npz")
    write_result(arrays, about, [run.path], run.provenance, per_image)
    write_result(output, about | summary, [run.path, arrays], run.provenance)
