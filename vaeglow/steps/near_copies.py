"""How far each test image is from the nearest training image, so that near copies can be left out."""

from pathlib import Path

from vaeglow.steps import cli


@cli.step
def main(*, data_dir: Path, device: str, threads: int, output: Path) -> None:
    """Measure root mean square distances in grey levels; refuse a test image that is a training image."""
    import numpy as np

    from vaeglow.data.arrays import data_identity, open_split, read_info
    from vaeglow.errors import UserError
    from vaeglow.evaluation.sample_quality import nearest_distances
    from vaeglow.evaluation.trained import started
    from vaeglow.results import write_result

    on, provenance = started(device, threads)
    names = data_identity(read_info(data_dir))
    distances = nearest_distances(open_split(data_dir, "test"), open_split(data_dir, "train"), on)
    copies = int((distances == 0).sum())
    if copies:
        raise UserError(
            f"{copies} test images of {names['dataset']} are in its training set, too: remove them from one"
        )
    write_result(output, names, [], provenance, {"distances": distances})
    hundredth = np.percentile(distances, 1)
    print(f"the nearest hundredth of {len(distances)} test images lies below {hundredth:.2f}")
