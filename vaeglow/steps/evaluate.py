"""FID of a run's samples against reference statistics, with all that the number depends on."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--samples", required=True, type=Path, help="npz file of the step sample")
    parser.add_argument("--reference", required=True, type=Path, help="npz file of the step fid_reference")
    parser.add_argument("--weights", required=True, type=Path, help="file of the step inception_weights")
    parser.add_argument("--batch-size", required=True, type=int)
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--threads", required=True, type=int, help="CPU threads inside torch")
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    options = parse(argv)
    from vaeglow.device import pick_device, set_threads
    from vaeglow.evaluation.fid import frechet_distance, image_statistics
    from vaeglow.evaluation.images import check_comparable, read_reference, read_samples, require
    from vaeglow.evaluation.inception import load_inception, load_weights
    from vaeglow.files import sha256_file, write_json
    from vaeglow.provenance import collect

    set_threads(options.threads)
    device = pick_device(options.device)
    provenance = collect(str(device))
    samples, sampled = read_samples(options.samples)
    mean, covariance, reference = read_reference(options.reference)
    inception_sha256 = load_weights(options.weights)[1]
    check_comparable(samples, sampled, reference, inception_sha256)
    count, features = reference["images"], reference["features"]  # as many samples as real images
    require(len(samples), count, f"{options.samples} ({sampled['dataset']})", reference["protocol"])
    net = load_inception(options.weights, features, device)
    statistics = image_statistics(samples[:count], net, features, options.batch_size, device, reference["levels"])
    result = {
        "fid": frechet_distance(statistics.mean, statistics.covariance, mean, covariance),
        "protocol": reference["protocol"],
        "fid_samples": statistics.count,
        "fid_reference_images": count,
        "fid_features": features,
        "split": reference["split"],
        **{key: value for key, value in sampled.items() if key != "provenance"},
        "samples_provenance": sampled.get("provenance"),
        "samples_sha256": sha256_file(options.samples),
        "reference_sha256": sha256_file(options.reference),
        "inception_sha256": inception_sha256,
        "provenance": provenance,
    }
    write_json(options.output, result)
    print(f"FID {result['fid']:.2f} ({count} against {count} images, {features} features)", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
