"""FID and KID of a Gaussian fitted to the training images' pixels; those of any useful model are lower."""

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
    from vaeglow.data.arrays import data_identity, open_split, read_info
    from vaeglow.evaluation.fid import Reference, gaussian_images
    from vaeglow.evaluation.trained import started
    from vaeglow.results import write_result

    on, provenance = started(device, threads)
    info = read_info(data_dir)
    names = data_identity(info)
    compared = Reference.open(reference, weights, batch_size, on, names)
    samples = gaussian_images(open_split(data_dir, "train"), compared.real.value("images"), info["levels"])
    content = {"preset": preset, **names, **compared.record, **compared.fid_and_kid(samples)}
    write_result(output, content, [weights], provenance)
