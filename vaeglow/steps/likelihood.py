"""Bits per dimension of the test split by the bounds of the paper's eq. 1 and 4, with fresh noise."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--model", required=True, help="weights, .safetensors")
    parser.add_argument("--data-dir", required=True, help="folder of the prepared dataset")
    parser.add_argument("--batch-size", required=True, type=int, help="images at a time")
    parser.add_argument("--importance-samples", required=True, type=int, nargs="*", help="K of the tighter bounds")
    parser.add_argument("--importance-images", required=True, type=int, help="first test images those bounds use")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--devices", type=int, default=1, help="processes that share the work, one a device")
    parser.add_argument("--output", required=True, help="output: summary, .json")
    parser.add_argument("--per-image", required=True, help="output: bits/dim of each image, .npz")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate with the run's own seed."""
    options = parse(argv)
    from vaeglow.data.arrays import open_split, read_info
    from vaeglow.data.samples import write_arrays
    from vaeglow.device import pick_device, set_threads
    from vaeglow.errors import UserError
    from vaeglow.evaluation.likelihood import evaluate_likelihood
    from vaeglow.files import sha256_file, sha256_json, write_json
    from vaeglow.provenance import collect, seal
    from vaeglow.team import team
    from vaeglow.weights import load_model

    with team(options.devices, pick_device(options.device)) as (us, device):
        provenance = collect(str(device))
        model, about = load_model(options.model, device)
        config, info = about["config"], read_info(options.data_dir)
        if info["sha256"] != about["data"]["sha256"]:
            raise UserError(f"{options.model} was trained on other data than {options.data_dir} holds: train it again")
        set_threads(config["training"]["threads"])
        result, per_image = evaluate_likelihood(
            model,
            open_split(options.data_dir, "test"),
            options.batch_size,
            options.importance_samples,
            options.importance_images,
            config["seed"],
            device,
        )
    if not us.first:
        return
    identity = {
        **{key: config[key] for key in ("preset", "dataset", "model", "seed")},
        "config_sha256": sha256_json(config),
        "data_sha256": sha256_json(info["sha256"]),
        "weights_sha256": about["weights_sha256"],
        "provenance": provenance,
    }
    write_arrays(options.per_image, {"split": "test", **identity}, per_image)
    hashes = {"per_image_sha256": sha256_file(options.per_image)}
    write_json(options.output, seal({"split": "test", **result, **identity, **hashes}))


if __name__ == "__main__":
    cli.run(main)
