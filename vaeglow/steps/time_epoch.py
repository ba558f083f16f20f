"""Time training steps and sampling of several models in turns (paper, section 4.3 and Table 4). Nothing is trained."""

from pathlib import Path
from typing import Literal

from vaeglow.steps import cli


@cli.step
def main(
    *,
    config: list[dict],
    data_dir: Path,
    timing: dict,
    device: str,
    memory: Literal["stored", "checkpoint"],
    threads: int,
    output: Path,
) -> None:
    """Build, time, write seconds and memory; also to a file of its own, which no later timing replaces.

    Args:
        config: each model's resolved config, as JSON text
        timing: the config's section `timing`, as JSON text
        threads: CPU cores of this job; no more are used than `training.threads` of the first model
    """
    from vaeglow.device import pick_device
    from vaeglow.files import sha256_json
    from vaeglow.results import collect, write_result
    from vaeglow.training.run import check_data
    from vaeglow.training.timing import time_in_turns

    on = pick_device(device)
    provenance = collect(str(on))
    infos = [check_data(run, data_dir) for run in config]
    threads = min(threads, config[0]["training"]["threads"])
    windows = timing[on.type]
    models = time_in_turns(config, windows, data_dir=data_dir, device=on.type, memory=memory, threads=threads)
    for run in config:
        models[run["model"]] |= {"kind": run["kind"], "config_sha256": sha256_json(run)}
    result = {
        **{key: config[0][key] for key in ("preset", "dataset", "seed")},
        "device": provenance["device"],
        "device_kind": on.type,
        "memory": memory,
        "threads": threads,
        "epoch_images": timing["epoch_images"],
        "rounds": windows["windows"],
        "models": models,
        "data_sha256": sha256_json(infos[0]["sha256"]),
    }
    started = provenance["started"][:19].replace(":", "")  # in UTC
    for path in (output.with_name("timings") / f"{started}.json", output):
        write_result(path, result, [], provenance)
    print(f"{', '.join(models)}: {result['rounds']} rounds")
