"""How far the Glow layer moves images, what it keeps and what it sharpens (paper, figure 4)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--layer-draws", required=True, help="npz file of the step layer_draws")
    parser.add_argument("--data-dir", required=True, help="folder of the prepared dataset")
    parser.add_argument("--weights", required=True, help="file of the step inception_weights")
    parser.add_argument("--features", required=True, type=int, help="Inception layer: 64, 192, 768 or 2048")
    parser.add_argument("--batch-size", required=True, type=int, help="images at a time")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--threads", required=True, type=int, help="CPU threads inside torch")
    parser.add_argument("--output", required=True, help="output: .json")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the step."""
    options = parse(argv)
    import torch

    from vaeglow.data.arrays import evenly_spaced, open_split, read_info
    from vaeglow.data.samples import read_arrays
    from vaeglow.device import pick_device, set_threads
    from vaeglow.errors import UserError
    from vaeglow.evaluation.fid import extract_features
    from vaeglow.evaluation.inception import load_inception, load_weights
    from vaeglow.evaluation.layer_action import probe_action
    from vaeglow.evaluation.probe import HASHES, IDENTITY
    from vaeglow.files import sha256_file, sha256_json, write_json
    from vaeglow.provenance import collect, seal

    set_threads(options.threads)
    device = pick_device(options.device)
    provenance = collect(str(device))
    names, keys = ("vae", "vae_noisy", "layer_mean", "layer"), (*IDENTITY, *HASHES, "temperature")
    draws, drawn = read_arrays(options.layer_draws, names, keys, "layer_draws")
    info = read_info(options.data_dir)
    if sha256_json(info["sha256"]) != drawn["data_sha256"]:
        raise UserError(
            f"{options.layer_draws} is of a run on other data than {options.data_dir} holds: run layer_draws again"
        )
    test = open_split(options.data_dir, "test")
    net = load_inception(options.weights, options.features, device)
    features = [
        torch.cat(list(extract_features(images, net, options.batch_size, device, info["levels"]))).numpy()
        for images in (draws["vae"], draws["layer"][:, 0])
    ]
    data = evenly_spaced(test, min(len(test), len(draws["vae"])))  # as many real images as latents
    result = {
        **{key: drawn[key] for key in keys},
        "split": "test",
        "features": options.features,
        **probe_action(draws, *features, data),
        "layer_draws_sha256": sha256_file(options.layer_draws),
        "inception_sha256": load_weights(options.weights)[1],
        "provenance": provenance,
    }
    write_json(options.output, seal(result))


if __name__ == "__main__":
    cli.run(main)
