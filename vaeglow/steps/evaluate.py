"""FID, KID, precision, recall and their like of a run's samples, with all that the numbers depend on.

One pass of Inception; the first set's features are kept, for whoever compares two models.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from vaeglow.steps import cli


def parse(argv: list[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--samples", required=True, type=Path, help="npz file of the step sample")
    parser.add_argument("--reference", required=True, type=Path, help="npz file of the step fid_reference")
    parser.add_argument("--weights", required=True, type=Path, help="file of the step inception_weights")
    parser.add_argument("--batch-size", required=True, type=int)
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--threads", required=True, type=int, help="CPU threads inside torch")
    parser.add_argument("--output", required=True, type=Path, help="JSON; features of samples go to .npz beside it")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure by the protocol of the reference."""
    options = parse(argv)
    from vaeglow.data.arrays import require_images
    from vaeglow.device import pick_device, set_threads
    from vaeglow.evaluation import fid
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.provenance import collect
    from vaeglow.results import read_result, write_result

    set_threads(options.threads)
    device = pick_device(options.device)
    provenance = collect(str(device))
    sampled, reference = read_result(options.samples, ("images",)), fid.read_reference(options.reference)
    samples, protocol = sampled.arrays["images"], fid.protocol_of(reference)
    fid.check_comparable(samples.shape[1:], sampled, reference, options.weights)
    count, sets = reference.value("images"), reference.value("sets")  # a set: as many samples as real images
    user, remedy = f"protocol {protocol['protocol']}", "choose a protocol with fewer images or sets, or draw more"
    require_images(len(samples), sets * count, f"{sampled.path} ({sampled.value('dataset')})", user, remedy)
    net = load_inception(options.weights, protocol["fid_features"], device)
    features, found = fid.measure_sets(samples, net, reference, options.batch_size, device)
    about = {key: value for key, value in sampled.content.items() if key not in ("provenance", "inputs")} | protocol
    inputs, arrays = [sampled, options.reference, options.weights], options.output.with_suffix(".npz")
    write_result(arrays, about, inputs, provenance, {"features": features})
    about["samples_provenance"] = sampled.value("provenance")
    write_result(options.output, about | found, [*inputs, arrays], provenance)
    print(
        f"FID {found['fid']:.2f}, KID {found['kid']:.4f} +- {found['kid_standard_error']:.4f}, precision "
        f"{found['precision']:.2f}, recall {found['recall']:.2f} ({sets} x {count} samples against {count} images)",
        file=sys.stderr,
    )


if __name__ == "__main__":
    cli.run(main)
