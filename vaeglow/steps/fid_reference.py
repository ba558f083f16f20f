"""Inception features of a split's real images and their statistics: what samples are compared with, and how."""

from pathlib import Path

from vaeglow.steps import cli


@cli.step
def main(
    *,
    data_dir: Path,
    protocol: str,
    split: str,
    images: int,
    features: int,
    sets: int,
    weights: Path,
    apart: float = 0.0,
    near_copies: list[Path] = (),
    batch_size: int,
    device: str,
    threads: int,
    output: Path,
) -> None:
    """Measure real images spread over the split.

    Args:
        protocol: name of the protocol, for messages and the record
        split: train, val or test
        images: how many images, spread over the split
        features: Inception layer: 64, 192, 768 or 2048
        sets: sets of samples the FID is the mean of
        apart: leave out test images nearer to a training image than this, in grey levels
        near_copies: npz file of the step near_copies, for `apart`
    """
    import numpy as np

    from vaeglow.data.arrays import data_identity, evenly_spaced, open_split, read_info, require_images
    from vaeglow.evaluation.fid import image_features
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.evaluation.trained import started
    from vaeglow.results import read_result, write_result

    on, provenance = started(device, threads)
    info = read_info(data_dir)
    names = data_identity(info)
    real = open_split(data_dir, split)
    apart_enough = np.arange(len(real))
    content = {"protocol": protocol, "split": split, "images": images, "features": features, "sets": sets}
    for path in near_copies:
        near = read_result(path, ("distances",), data_sha256=names["data_sha256"])
        apart_enough = np.flatnonzero(near.arrays["distances"] >= apart)
        content["apart"] = apart
    remedy = "add images, or choose a protocol with fewer, 6 at least"
    split_name = f"the {split} split of {info['name']}"
    require_images(len(apart_enough), images, split_name, f"protocol {protocol}", remedy)
    levels = info["levels"]
    content |= {**names, "levels": levels, "image_shape": list(real.shape[1:])}
    net = load_inception(weights, features, on)
    indices = evenly_spaced(apart_enough, images)
    arrays = image_features(real, net, batch_size, on, levels=levels, indices=indices)
    write_result(output, content, [weights], provenance, arrays)
