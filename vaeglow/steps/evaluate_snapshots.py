"""Quality against training time: FID, KID and bits/dim of the weights a run had at several moments, and has now.

`total_seconds` counts the phases before this run's own, so that models trained in one and in two phases share an axis.
Early weights may sample garbage: where more than half of the images overflow, a point's `fid`, `kid` and
`kid_standard_error` are null beside its `exploded_samples`; likewise `bits_per_dim` where it is not finite.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--model", required=True, type=Path, help="the finished run's weights, .safetensors")
    parser.add_argument("--kept-weights", required=True, type=Path, help="its weights on the way, .safetensors")
    parser.add_argument("--training", required=True, type=Path, help="its training.json")
    parser.add_argument("--data-dir", required=True, type=Path, help="prepared dataset")
    parser.add_argument("--reference", required=True, type=Path, help="npz file of the step fid_reference")
    parser.add_argument("--weights", required=True, type=Path, help="file of the step inception_weights")
    parser.add_argument("--temperature", required=True, type=float, help="scale of the pixel noise")
    parser.add_argument("--batch-size", required=True, type=int, help="images at a time")
    parser.add_argument("--likelihood-images", required=True, type=int, help="first test images that bits/dim use")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step with the run's own seed."""
    options = parse(argv)
    from vaeglow.evaluation.images import check_comparable, read_reference
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.evaluation.snapshots import Yardstick, measure_moments, timeline
    from vaeglow.evaluation.trained import open_run
    from vaeglow.results import Result, write_result
    from vaeglow.training.checkpoint import read_snapshots

    run, reference = open_run(options.model, options.device), read_reference(options.reference)
    images = run.images(options.data_dir / "test.npy")[: options.likelihood_images]
    snapshots = read_snapshots(options.kept_weights)
    moments, base_seconds, trained_on = timeline(run, options.training, snapshots, options.kept_weights)
    check_comparable(run.network.shape, Result(run.path, run.identity), reference.metadata, options.weights)
    net = load_inception(options.weights, reference.metadata["features"], run.device)
    yardstick = Yardstick(net, reference, images, options.temperature, options.batch_size, run.seed, run.device)
    content = {
        **run.identity,
        **reference.protocol,
        "temperature": options.temperature,
        "likelihood_images": len(images),
        "base_seconds": base_seconds,
        "training_device": trained_on,
        "points": measure_moments(run.network, moments, base_seconds, yardstick),
    }
    inputs = [run.path, options.kept_weights, options.training, options.reference, options.weights]
    write_result(options.output, content, inputs, run.provenance)


if __name__ == "__main__":
    cli.run(main)
