"""How far each test image is from the nearest training image, so that near copies can be left out."""

from pathlib import Path

from vaeglow.steps import cli


@cli.step
def main(*, data_dir: Path, device: str, threads: int, output: Path) -> None:
    """Measure root mean square distances in grey levels; refuse a test image that is a training image."""
    import numpy as np

    from vaeglow.data.arrays import open_split, read_info
    from vaeglow.device import pick_device, set_threads
    from vaeglow.errors import UserError
    from vaeglow.evaluation.sample_quality import nearest_distances
    from vaeglow.files import sha256_json
    from vaeglow.results import collect, write_result

    set_threads(threads)
    on = pick_device(device)
    provenance, info = collect(str(on)), read_info(data_dir)
    distances = nearest_distances(open_split(data_dir, "test"), open_split(data_dir, "train"), on)
    copies = int((distances == 0).sum())
    if copies:
        raise UserError(f"{copies} test images of {info['name']} are in its training set, too: remove them from one")
    about = {"dataset": info["name"], "data_sha256": sha256_json(info["sha256"])}
    write_result(output, about, [], provenance, {"distances": distances})
    print(
        f"the nearest hundredth of {len(distances)} test images lies below {np.percentile(distances, 1):.2f}",
        flush=True,
    )
