"""What a volume-preserving linear layer could make of a VAE's residual, and of as many principal components'."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--model", required=True, help="weights of a VAE, .safetensors")
    parser.add_argument("--data-dir", required=True, help="folder of the prepared dataset")
    parser.add_argument("--images", required=True, type=int, help="test images, spread over the split; at most all")
    parser.add_argument("--batch-size", required=True, type=int, help="images at a time")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--output", required=True, help="output, .json")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure both residuals on the same dequantised test images, with the run's own seed."""
    options = parse(argv)
    import torch

    from vaeglow.data.arrays import evenly_spaced, open_split, read_info
    from vaeglow.data.loader import dequantise, step_generator
    from vaeglow.device import pick_device, set_threads
    from vaeglow.errors import UserError
    from vaeglow.evaluation import linear_reference as linear
    from vaeglow.evaluation.likelihood import EVALUATION, finite, image_batches
    from vaeglow.files import sha256_json, write_json
    from vaeglow.models.bounds import bits_per_dim, gaussian_log_density
    from vaeglow.provenance import collect, seal
    from vaeglow.weights import load_model

    device = pick_device(options.device)
    provenance = collect(str(device))
    model, about = load_model(options.model, device)
    config, info = about["config"], read_info(options.data_dir)
    if config["kind"] != "vae":
        raise UserError(f"{options.model} is of kind {config['kind']}: a linear reference is of a vae's residual")
    if info["sha256"] != about["data"]["sha256"]:
        raise UserError(f"{options.model} was trained on other data than {options.data_dir} holds: train it again")
    set_threads(config["training"]["threads"])
    train, test = open_split(options.data_dir, "train"), open_split(options.data_dir, "test")
    train = evenly_spaced(train, min(linear.PCA_IMAGES, len(train)))
    test = evenly_spaced(test, min(options.images, len(test)))
    latents, seed = model.prior.dims, config["seed"]
    mean, components = linear.principal_components(train, latents, model.levels, seed)
    sums, own_noise = {source: linear.FoldedMoments(test.shape[1:]) for source in ("vae", "pca")}, []
    with torch.no_grad():
        for index, x in image_batches(test, options.batch_size, device):
            generator = step_generator(seed, EVALUATION, index, device)  # likelihood's own
            y = dequantise(x, model.levels, generator)
            g_mean, log_scale = model.decode(model.posterior_sample(y, generator)[0])
            own_noise.append(finite(gaussian_log_density(y, g_mean, log_scale), "reconstruction"))
            sums["vae"].add((y - g_mean).cpu().numpy())
            sums["pca"].add(linear.component_residual(y.cpu().numpy(), mean, components))
    result = {
        **{key: config[key] for key in ("preset", "dataset", "model", "seed")},
        "images": len(test),
        "latents": latents,
        "pca_images": len(train),
        "sources": {name: linear.linear_references(s.mean(), model.levels) for name, s in sums.items()},
        "vae_own_noise": bits_per_dim(torch.cat(own_noise).double(), model.dims, model.levels).mean().item(),
        "estimation_bias": linear.estimation_bias(model.channels, len(test)),
        "config_sha256": sha256_json(config),
        "data_sha256": sha256_json(info["sha256"]),
        "weights_sha256": about["weights_sha256"],
        "provenance": provenance,
    }
    write_json(options.output, seal(result))


if __name__ == "__main__":
    cli.run(main)
