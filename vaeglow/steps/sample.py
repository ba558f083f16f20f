"""Draw images from a trained model into one .npz (paper, section 3.5)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--model", required=True, help="weights, .safetensors")
    parser.add_argument("--temperature", required=True, type=float, help="scale of the pixel noise; 0 leaves it out")
    parser.add_argument("--count", required=True, type=int, help="how many images")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--devices", type=int, default=1, help="processes that share the work, one a device")
    parser.add_argument("--output", required=True, help="output: images and metadata, .npz")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Sample with the run's own seed."""
    options = parse(argv)
    from vaeglow.data.samples import write_arrays
    from vaeglow.device import pick_device, set_threads
    from vaeglow.evaluation.sampling import sample
    from vaeglow.files import sha256_json
    from vaeglow.provenance import collect
    from vaeglow.team import team
    from vaeglow.weights import load_model

    with team(options.devices, pick_device(options.device)) as (us, device):
        provenance = collect(str(device))
        model, about = load_model(options.model, device)
        config = about["config"]
        set_threads(config["training"]["threads"])
        samples = sample(model, options.count, options.temperature, config["seed"], device)
    if not us.first:
        return
    metadata = {
        **{key: config[key] for key in ("preset", "dataset", "model", "seed")},
        "temperature": options.temperature,
        "exploded_samples": samples.exploded,
        "config_sha256": sha256_json(config),
        "data_sha256": sha256_json(about["data"]["sha256"]),
        "weights_sha256": about["weights_sha256"],
        "provenance": provenance,
    }
    write_arrays(options.output, metadata, {"images": samples.images.numpy()})


if __name__ == "__main__":
    cli.run(main)
