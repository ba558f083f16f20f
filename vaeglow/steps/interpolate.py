"""Images between random latents (paper, figure 5)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--model", required=True, help="weights, .safetensors")
    parser.add_argument("--space", required=True, help="prior (lines in its base space) or latent (great circles)")
    parser.add_argument("--pairs", required=True, type=int, help="pairs of latents")
    parser.add_argument("--steps", required=True, type=int, help="images from end to end, both included")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--output", required=True, help="output: images and metadata, .npz")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Interpolate with the run's own seed."""
    options = parse(argv)
    from vaeglow.data.samples import write_arrays
    from vaeglow.evaluation.interpolation import distances, latent_paths, render
    from vaeglow.evaluation.probe import open_probe

    run = open_probe(options.model, options.device, "the step interpolate")
    z = latent_paths(run.vae, options.pairs, options.steps, options.space, run.config["seed"], run.device)
    images = render(run.network, z).numpy()
    metadata = {**run.identity(), "space": options.space, **distances(images)}
    write_arrays(options.output, metadata, {"images": images})


if __name__ == "__main__":
    cli.run(main)
