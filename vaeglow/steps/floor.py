"""FID and KID of a Gaussian fitted to the pixels of the training images: what a model that draws has to beat."""

from pathlib import Path

from vaeglow.steps import cli


@cli.step
def main(
    *,
    preset: str,
    data_dir: Path,
    reference: Path,
    weights: Path,
    batch_size: int,
    device: str,
    threads: int,
    output: Path,
) -> None:
    """Draw as many images as the protocol of the reference has, measure.

    Args:
        preset: for the record
    """
    from vaeglow.data.arrays import open_split, read_info
    from vaeglow.device import pick_device, set_threads
    from vaeglow.evaluation.fid import gaussian_images, measure_set, protocol_of
    from vaeglow.evaluation.inception import load_inception
    from vaeglow.evaluation.sample_quality import kernel_inception_distance
    from vaeglow.files import sha256_json
    from vaeglow.results import collect, read_result, write_result

    set_threads(threads)
    on = pick_device(device)
    provenance, info = collect(str(on)), read_info(data_dir)
    about = {"dataset": info["name"], "data_sha256": sha256_json(info["sha256"])}
    real = read_result(reference, None, **about)
    samples = gaussian_images(open_split(data_dir, "train"), real.value("images"), info["levels"])
    net = load_inception(weights, real.value("features"), on)
    features, fid = measure_set(samples, net, real, batch_size, on)
    kid = kernel_inception_distance(features, real.arrays["features"], on)
    write_result(output, {"preset": preset, **about, **protocol_of(real), "fid": fid, **kid}, [weights], provenance)
