"""FID, KID, precision, recall and their like of a run's samples, with all that the numbers depend on.

One pass of Inception; the first set's features are kept, for whoever compares two models.
"""

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
    parser.add_argument(
        "--output", required=True, type=Path, help="JSON to write; features of samples go to .npz beside"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    options = parse(argv)
    from vaeglow.device import pick_device, set_threads
    from vaeglow.evaluation import images
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.evaluation.sample_sets import measure_sets
    from vaeglow.provenance import collect
    from vaeglow.results import read_result, write_result

    set_threads(options.threads)
    device = pick_device(options.device)
    provenance = collect(str(device))
    drawn, reference = read_result(options.samples, ("images",)), images.read_reference(options.reference)
    samples, protocol = drawn.arrays["images"], reference.metadata
    sampled = {key: value for key, value in drawn.content.items() if key not in ("provenance", "inputs")}
    images.check_comparable(samples.shape[1:], drawn, protocol, options.weights)
    count, sets = protocol["images"], protocol["sets"]  # a set: as many samples as real images
    images.require(len(samples), count, f"{drawn.path} ({sampled['dataset']})", protocol["protocol"], sets)
    net = load_inception(options.weights, protocol["features"], device)
    features, result = measure_sets(samples, net, reference, options.batch_size, device)
    inputs, about = [drawn, options.reference, options.weights], {**sampled, **reference.protocol}
    arrays = options.output.with_suffix(".npz")
    write_result(arrays, about, inputs, provenance, {"features": features})
    about["samples_provenance"] = drawn.value("provenance")
    write_result(options.output, about | result, [*inputs, arrays], provenance)
    spread = f" +- {result['fid_sd']:.2f} over {sets} sets" if sets > 1 else ""
    print(
        f"FID {result['fid']:.2f}{spread}, KID {result['kid']:.4f} +- {result['kid_standard_error']:.4f}, precision "
        f"{result['precision']:.2f}, recall {result['recall']:.2f} ({count} against {count} images, "
        f"{protocol['features']} features)",
        file=sys.stderr,
    )


if __name__ == "__main__":
    cli.run(main)
