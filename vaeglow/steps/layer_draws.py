"""VAE samples and draws of the Glow layer from the same latents (paper, figure 4)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--model", required=True, help="weights, .safetensors")
    parser.add_argument("--images", required=True, type=int, help="how many latents")
    parser.add_argument("--draws", required=True, type=int, help="draws of the layer from each")
    parser.add_argument("--temperature", required=True, type=float, help="scale of the decoder's noise")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--output", required=True, help="output: images and metadata, .npz")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw with the run's own seed."""
    options = parse(argv)
    from vaeglow.data.samples import write_arrays
    from vaeglow.errors import UserError
    from vaeglow.evaluation.layer_draws import draw_layer
    from vaeglow.evaluation.probe import open_probe

    run = open_probe(options.model, options.device, "the step layer_draws")
    if run.layer is None:
        raise UserError(
            f"{run.config['model']} is a {run.config['kind']}: it has no Glow layer to draw from; take a vae_glow"
        )
    drawn = draw_layer(run.network, options.images, options.draws, options.temperature, run.config["seed"], run.device)
    metadata = {**run.identity(), "temperature": options.temperature, "exploded_samples": drawn.exploded}
    write_arrays(options.output, metadata, drawn.arrays)


if __name__ == "__main__":
    cli.run(main)
