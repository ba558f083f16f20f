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
    parser.add_argument("--snapshots", required=True, type=Path, help="its weights on the way, .safetensors")
    parser.add_argument("--training", required=True, type=Path, help="its training.json")
    parser.add_argument("--data-dir", required=True, type=Path, help="prepared dataset")
    parser.add_argument("--reference", required=True, type=Path, help="npz file of the step fid_reference")
    parser.add_argument("--weights", required=True, type=Path, help="file of the step inception_weights")
    parser.add_argument("--temperature", required=True, type=float, help="scale of the pixel noise")
    parser.add_argument("--batch-size", required=True, type=int, help="images at a time")
    parser.add_argument("--likelihood-images", required=True, type=int, help="first test images that bits/dim use")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--threads", required=True, type=int, help="CPU threads inside torch")
    parser.add_argument("--output", required=True, type=Path, help="JSON file to write")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step with the run's own seed."""
    options = parse(argv)
    from vaeglow.data.arrays import open_split, read_info
    from vaeglow.device import pick_device, set_threads
    from vaeglow.errors import UserError
    from vaeglow.evaluation.images import check_comparable, read_reference
    from vaeglow.evaluation.inception import load_inception, load_weights
    from vaeglow.evaluation.snapshots import Yardstick, measure_moments, timeline
    from vaeglow.files import sha256_file, sha256_json, write_json
    from vaeglow.models.store import load_model
    from vaeglow.provenance import collect, seal
    from vaeglow.training.checkpoint import read_snapshots

    set_threads(options.threads)
    device = pick_device(options.device)
    provenance = collect(str(device))
    model, about = load_model(options.model, device)
    config, info, reference = about["config"], read_info(options.data_dir), read_reference(options.reference)
    if info["sha256"] != about["data"]["sha256"]:
        raise UserError(f"{options.model} was trained on other data than {options.data_dir} holds: train it again")
    snapshots = read_snapshots(options.snapshots)
    moments, base_seconds, trained_on = timeline(model, about, options.training, snapshots, options.snapshots)
    hashes = {"config_sha256": sha256_json(config), "data_sha256": sha256_json(info["sha256"])}
    inception_sha256, measured = load_weights(options.weights)[1], reference.metadata
    check_comparable(model.shape, {"dataset": config["dataset"], **hashes}, measured, inception_sha256)
    net = load_inception(options.weights, measured["features"], device)
    images = open_split(options.data_dir, "test")[: options.likelihood_images]
    yardstick = Yardstick(net, reference, images, options.temperature, options.batch_size, config["seed"], device)
    result = {
        **{key: config[key] for key in ("preset", "dataset", "model", "seed")},
        "protocol": measured["protocol"],
        "temperature": options.temperature,
        "fid_samples": measured["images"],
        "fid_reference_images": measured["images"],
        "fid_features": measured["features"],
        "split": measured["split"],
        "stretch": measured["stretch"],
        "likelihood_images": len(images),
        "base_seconds": base_seconds,
        "training_device": trained_on,
        "points": measure_moments(model, moments, base_seconds, yardstick),
        **hashes,
        "weights_sha256": about["weights_sha256"],
        "reference_sha256": sha256_file(options.reference),
        "inception_sha256": inception_sha256,
        "provenance": provenance,
    }
    write_json(options.output, seal(result))


if __name__ == "__main__":
    cli.run(main)
