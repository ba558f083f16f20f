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
    parser.add_argument("--devices", type=int, default=1, help="processes that share the work, one a device")
    parser.add_argument("--threads", required=True, type=int, help="CPU threads inside torch")
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--features-output", required=True, type=Path, help="npz file to write: the samples' features")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    options = parse(argv)
    from vaeglow.data.samples import SAMPLES_KEYS
    from vaeglow.device import pick_device, set_threads
    from vaeglow.evaluation import images
    from vaeglow.evaluation.inception import load_inception, load_weights
    from vaeglow.evaluation.sample_sets import measure_sets
    from vaeglow.files import sha256_file, write_json
    from vaeglow.provenance import collect, seal
    from vaeglow.team import team

    set_threads(options.threads)
    device = pick_device(options.device)
    provenance = collect(str(device))
    samples, sampled = images.read_samples(options.samples)
    real = images.read_reference(options.reference)
    reference, inception_sha256 = real.metadata, load_weights(options.weights)[1]
    images.check_comparable(samples.shape[1:], sampled, reference, inception_sha256)
    count, width, sets = reference["images"], reference["features"], reference["sets"]
    what = f"{options.samples} ({sampled['dataset']})"
    images.require(len(samples), count, what, reference["protocol"], sets)  # a set: as many samples as real images
    with team(options.devices, device) as (us, device):
        net = load_inception(options.weights, width, device)
        features, measured = measure_sets(samples, net, real, options.batch_size, device)
    if not us.first:
        return
    hashes = {"reference_sha256": sha256_file(options.reference), "inception_sha256": inception_sha256}
    result = {
        **measured,
        "protocol": reference["protocol"],
        "fid_samples": count,
        "fid_reference_images": count,
        "fid_features": width,
        "split": reference["split"],
        "stretch": reference["stretch"],
        **{key: value for key, value in sampled.items() if key != "provenance"},
        "samples_provenance": sampled.get("provenance"),
        "samples_sha256": sha256_file(options.samples),
        **hashes,
        "provenance": provenance,
    }
    about = {key: sampled[key] for key in SAMPLES_KEYS} | {"protocol": reference["protocol"], **hashes}
    images.write_features(options.features_output, features, {**about, "provenance": provenance})
    result["features_sha256"] = sha256_file(options.features_output)
    write_json(options.output, seal(result))
    spread = f" +- {result['fid_sd']:.2f} over {sets} sets" if sets > 1 else ""
    print(
        f"FID {result['fid']:.2f}{spread}, KID {result['kid']:.4f} +- {result['kid_standard_error']:.4f}, precision "
        f"{result['precision']:.2f}, recall {result['recall']:.2f} ({count} against {count} images, {width} features)",
        file=sys.stderr,
    )


if __name__ == "__main__":
    cli.run(main)
