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

    from vaeglow.data.arrays import evenly_spaced, open_split, read_info, require_images
    from vaeglow.device import pick_device, set_threads
    from vaeglow.evaluation.fid import image_features
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.files import sha256_json
    from vaeglow.results import collect, read_result, write_result

    set_threads(threads)
    on = pick_device(device)
    provenance = collect(str(on))
    info, real = read_info(data_dir), open_split(data_dir, split)
    where, remedy = f"the {split} split of {info['name']}", "add images, or choose a protocol with fewer, 6 at least"
    taken = np.arange(len(real))
    for path in near_copies:
        near = read_result(path, ("distances",), data_sha256=sha256_json(info["sha256"]))
        taken = np.flatnonzero(near.arrays["distances"] >= apart)
    require_images(len(taken), images, where, f"protocol {protocol}", remedy)
    net, indices = load_inception(weights, features, on), evenly_spaced(taken, images)
    found, mean, covariance = image_features(real, net, batch_size, on, levels=info["levels"], indices=indices)
    about = {"protocol": protocol, "split": split, "images": images, "features": features, "sets": sets}
    about |= {"apart": apart} if near_copies else {}
    about |= {"dataset": info["name"], "levels": info["levels"]}
    about |= {"image_shape": list(real.shape[1:]), "data_sha256": sha256_json(info["sha256"])}
    write_result(output, about, [weights], provenance, {"mean": mean, "covariance": covariance, "features": found})
