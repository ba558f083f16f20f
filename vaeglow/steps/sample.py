"""Draw images from a trained model into one .npz (paper, section 3.5)."""

from __future__ import annotations

from argparse import Namespace

from vaeglow.steps import cli


def parse(argv: list[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--model", required=True, help="weights, .safetensors")
    parser.add_argument("--temperature", required=True, type=float, help="scale of the pixel noise; 0 leaves it out")
    parser.add_argument("--count", required=True, type=int, help="how many images")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--output", required=True, help="output: images and metadata, .npz")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Sample with the run's own seed."""
    options = parse(argv)
    from vaeglow.errors import UserError
    from vaeglow.evaluation.trained import TrainedRun, sample
    from vaeglow.results import write_result

    run = TrainedRun(options.model, options.device)
    images, exploded = sample(run.network, options.count, options.temperature, run.seed, run.device)
    if 2 * exploded > options.count:
        raise UserError(f"{exploded} of {options.count} samples are not finite: train the model with a lower rate")
    content = {**run.identity, "temperature": options.temperature, "exploded_samples": exploded}
    write_result(options.output, content, [run.path], run.provenance, {"images": images.numpy()})


if __name__ == "__main__":
    cli.run(main)
