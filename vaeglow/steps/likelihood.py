"""Bits per dimension of the test split by the bounds of the paper's eq. 1 and 4, with fresh noise."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from vaeglow.steps import cli


def parse(argv: list[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--model", required=True, help="weights, .safetensors")
    parser.add_argument("--data-dir", required=True, type=Path, help="folder of the prepared dataset")
    parser.add_argument("--batch-size", required=True, type=int, help="images at a time")
    parser.add_argument("--importance-samples", required=True, type=int, nargs="*", help="K of the tighter bounds")
    parser.add_argument("--importance-images", required=True, type=int, help="first test images those bounds use")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--output", required=True, help="summary, .json; bits/dim of each image go to .npz beside it")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Evaluate with the run's own seed."""
    options = parse(argv)
    from vaeglow.evaluation.likelihood import evaluate_likelihood
    from vaeglow.evaluation.trained import TrainedRun
    from vaeglow.results import write_result

    run = TrainedRun(options.model, options.device)
    images, batch_size = run.images(options.data_dir / "test.npy"), options.batch_size
    bounds = options.importance_samples, options.importance_images
    summary, per_image = evaluate_likelihood(run.network, images, batch_size, *bounds, run.seed, run.device)
    about, arrays = {"split": "test", **run.identity}, Path(options.output).with_suffix(".npz")
    write_result(arrays, about, [run.path], run.provenance, per_image)
    write_result(options.output, about | summary, [run.path, arrays], run.provenance)


if __name__ == "__main__":
    cli.run(main)
