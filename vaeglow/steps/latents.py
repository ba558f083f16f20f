"""What a trained VAE's latent holds, alone or under its Glow layer (paper, sections 3.1 and 3.4)."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--model", required=True, help="weights, .safetensors")
    parser.add_argument("--data-dir", required=True, help="folder of the prepared dataset")
    parser.add_argument("--images", required=True, type=int, help="first test images")
    parser.add_argument("--batch-size", required=True, type=int, help="images at a time")
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--output", required=True, help="output: .json")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Probe with the run's own seed."""
    options = parse(argv)
    from vaeglow.evaluation.latents import probe_latents
    from vaeglow.evaluation.probe import open_probe
    from vaeglow.files import write_json
    from vaeglow.provenance import seal

    run = open_probe(options.model, options.device, "the step latents")
    images = run.test_images(options.data_dir)[: max(0, options.images)]
    result = probe_latents(run.vae, run.layer, images, options.batch_size, run.config["seed"], run.device)
    write_json(options.output, seal({"split": "test", **result, **run.identity()}))


if __name__ == "__main__":
    cli.run(main)
