"""Quality against training time: FID, KID and bits/dim of the weights a run had at several moments, and has now.

Models trained in one and in two phases share an axis, `total_seconds`.
"""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from vaeglow.steps import cli


def parse(argv: list[str] | None = None) -> Namespace:
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


def main(argv: list[str] | None = None) -> None:
    """Measure with the run's own seed."""
    options = parse(argv)
    from vaeglow.evaluation.fid import check_comparable, protocol_of, read_reference
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.evaluation.snapshots import measure_point, timeline
    from vaeglow.evaluation.trained import TrainedRun
    from vaeglow.results import Result, read_result, write_result
    from vaeglow.training.checkpoint import read_snapshots

    run, reference = TrainedRun(options.model, options.device), read_reference(options.reference)
    images = run.images(options.data_dir / "test.npy")[: options.likelihood_images]
    training = read_result(options.training, weights_sha256=run.identity["weights_sha256"])
    kept, seconds = read_snapshots(options.kept_weights), training.value("train_seconds_by_phase")
    snapshots = timeline(run, training.content, kept, options.kept_weights)
    check_comparable(run.network.shape, Result(run.path, run.identity), reference, options.weights)
    net = load_inception(options.weights, reference.value("features"), run.device)
    points = []
    for snapshot in snapshots:
        found = measure_point(run, snapshot, images, net, reference, options.temperature, options.batch_size)
        points.append(found)
        print(", ".join(f"{key} {value}" for key, value in found.items()), flush=True)
    content = {**run.identity, **protocol_of(reference), "temperature": options.temperature}
    content |= {"likelihood_images": len(images), "base_seconds": sum(seconds[:-1])}
    content |= {"training_device": training.value("provenance", "device"), "points": points}
    inputs = [run.path, options.kept_weights, options.training, options.reference, options.weights]
    write_result(options.output, content, inputs, run.provenance)


if __name__ == "__main__":
    cli.run(main)
