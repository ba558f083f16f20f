"""Find the settings with which training is fastest on this machine: an overlay of the config, and a report."""

import re
from pathlib import Path
from typing import Literal

from vaeglow.steps import cli


@cli.step
def main(
    *,
    config: list[dict],
    data_dir: Path,
    device: str,
    memory: Literal["stored", "checkpoint"],
    threads: int,
    minutes: float,
    output: Path,
) -> None:
    """Measure, choose, write.

    Args:
        config: resolved configs of the models that are compared, as JSON text
        threads: CPU cores that training may use
        minutes: how long it may take
        output: the report; the overlay beside it is named by the device
    """
    import yaml

    from vaeglow.device import pick_device
    from vaeglow.files import write_text
    from vaeglow.results import collect
    from vaeglow.training.run import check_data
    from vaeglow.training.tuning import report, tune

    on = pick_device(device)
    provenance = collect(str(on))
    check_data(config[0], data_dir)
    configs = {run["model"]: run for run in config}
    place = {"data_dir": data_dir, "device": on.type, "memory": memory}
    tuned = tune(configs, threads, minutes, place)
    name = re.sub("[^a-z0-9]+", "-", provenance["device"].lower()).strip("-")
    overlay = output.with_name(f"{name}.yaml")
    content = yaml.safe_dump({"overrides": {"training": tuned["options"][tuned["chosen"]]}})
    write_text(overlay, f"# {provenance['device']}: snakemake ... --configfile {overlay}\n{content}")
    text = [*report(tuned, configs, provenance), f"## {overlay}", f"```yaml\n{content}```"]
    write_text(output, "\n\n".join(text) + "\n")
