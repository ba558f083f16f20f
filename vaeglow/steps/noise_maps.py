"""Maps of the decoder's noise beside test images (paper, section 3.1)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--model", required=True, help="weights, .safetensors")
    parser.add_argument("--data-dir", required=True, help="folder of the prepared dataset")
    parser.add_argument("--shown", required=True, type=int, help="how many images to keep")
    parser.add_argument("--images", required=True, type=int, help="first test images the correlation is over")
    parser.add_argument("--batch-size", required=True, type=int, help="images at a time")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--output", required=True, help="output: images and metadata, .npz")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Map with the run's own seed."""
    options = parse(argv)
    import numpy as np

    from vaeglow.data.samples import write_arrays
    from vaeglow.errors import UserError
    from vaeglow.evaluation.noise_maps import map_noise
    from vaeglow.evaluation.probe import open_probe

    run = open_probe(options.model, options.device, "the step noise_maps")
    if options.shown < 1 or options.images < options.shown:
        raise UserError(
            f"{options.shown} maps of {options.images} images are asked for: show 1 or more, of at least as many images"
        )
    images = run.test_images(options.data_dir)[: options.images]
    maps = map_noise(run.vae, run.layer, images, options.batch_size, run.config["seed"], run.device)
    metadata = {
        **run.identity(),
        "split": "test",
        "images": len(images),
        "error_correlation": None if maps.correlations is None else float(np.mean(maps.correlations)),
        "error_correlations": maps.correlations,
    }
    shown = slice(options.shown)
    arrays = {"images": images[shown], "mean": maps.mean[shown], "scale": maps.scale[shown]}
    write_arrays(options.output, metadata, arrays)


if __name__ == "__main__":
    cli.run(main)
