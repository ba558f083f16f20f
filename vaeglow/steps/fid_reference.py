"""Inception features of a split's real images and their statistics: what samples are compared with, and how."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from vaeglow.steps import cli


def parse(argv: list[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--data-dir", required=True, type=Path, help="prepared dataset")
    parser.add_argument("--protocol", required=True, help="name of the protocol, for messages and the record")
    parser.add_argument("--split", required=True, help="train, val or test")
    parser.add_argument("--images", required=True, type=int, help="how many images, spread over the split")
    parser.add_argument("--features", required=True, type=int, help="Inception layer: 64, 192, 768 or 2048")
    parser.add_argument("--sets", required=True, type=int, help="sets of samples the FID is the mean of")
    parser.add_argument("--stretch", action="store_true", help="samples are stretched to the whole range first")
    parser.add_argument("--weights", required=True, type=Path, help="file of the step inception_weights")
    parser.add_argument("--batch-size", required=True, type=int)
    parser.add_argument("--device", required=True, help="auto, cpu or cuda")
    parser.add_argument("--threads", required=True, type=int, help="CPU threads inside torch")
    parser.add_argument("--output", required=True, type=Path, help="npz file to write")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure real images spread over the split."""
    options = parse(argv)
    import numpy as np

    from vaeglow.data.arrays import evenly_spaced, open_split, read_info, require_images
    from vaeglow.device import pick_device, set_threads
    from vaeglow.evaluation.fid import image_features
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.files import sha256_json
    from vaeglow.provenance import collect
    from vaeglow.results import write_result

    set_threads(options.threads)
    device = pick_device(options.device)
    provenance = collect(str(device))
    info, split = read_info(options.data_dir), open_split(options.data_dir, options.split)
    where, user = f"the {options.split} split of {info['name']}", f"protocol {options.protocol}"
    require_images(len(split), options.images, where, user, "choose a protocol with fewer (protocols in the config)")
    net, levels = load_inception(options.weights, options.features, device), info["levels"]
    indices = evenly_spaced(np.arange(len(split)), options.images)
    features, mean, covariance = image_features(split, net, options.batch_size, device, levels=levels, indices=indices)
    content = {
        "dataset": info["name"],
        **{key: getattr(options, key) for key in ("protocol", "split", "images", "features", "sets", "stretch")},
        "levels": levels,
        "image_shape": list(split.shape[1:]),
        "data_sha256": sha256_json(info["sha256"]),
    }
    arrays = {"mean": mean, "covariance": covariance, "features": features}
    write_result(options.output, content, [options.weights], provenance, arrays)


if __name__ == "__main__":
    cli.run(main)
