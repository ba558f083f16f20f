"""Find the settings with which training is fastest on this machine: an overlay of the config, and a report."""

import re
import subprocess
import sys
from os import environ
from pathlib import Path
from time import monotonic
from typing import Literal

from vaeglow.steps import cli


@cli.step
def main(
    *,
    config: list[dict],
    other: list[dict],
    data_dir: Path,
    device: str,
    memory: Literal["stored", "checkpoint"],
    threads: int,
    minutes: float,
    output: Path,
) -> None:
    """Measure, choose, write; on a GPU, in a clone, also run the tests that need one.

    Args:
        config: resolved configs of the models that are compared, as JSON text
        other: those of all models that the preset trains
        threads: CPU cores that training may use
        minutes: how long it may take
        output: the report; the overlay beside it is named by the device
    """
    import yaml

    from vaeglow.device import pick_device
    from vaeglow.files import write_text
    from vaeglow.paths import shipped
    from vaeglow.results import collect
    from vaeglow.training.run import check_data
    from vaeglow.training.tuning import report, tune

    end = monotonic() + 60 * minutes
    on = pick_device(device)
    on_gpu = on.type == "cuda"
    provenance = collect(str(on))
    check_data(config[0], data_dir)
    configs = {run["model"]: run for run in config}
    others = {run["model"]: run for run in other}
    minutes *= 0.7 if on_gpu else 1  # then the tests
    tuned = tune(configs, others, threads, memory, minutes, device=on.type, data_dir=data_dir)
    chosen = tuned["options"][tuned["chosen"]]
    training = {key: chosen[key] for key in ("precision", "compile", "threads")}
    name = re.sub("[^a-z0-9]+", "-", provenance["device"].lower()).strip("-")
    overlay = output.with_name(f"{name}.yaml")
    content = yaml.safe_dump({"overrides": {"training": training}})
    write_text(overlay, f"# {provenance['device']}: snakemake ... --configfile {overlay}\n{content}")
    text = [*report(tuned, configs | others, provenance), f"## {overlay}", f"```yaml\n{content}```"]
    if on_gpu and shipped("tests").is_dir():
        seconds = max(60, int(end - monotonic()))
        command = ["timeout", "-s", "INT", str(seconds), sys.executable]
        command += ["-m", "pytest", "-m", "gpu", "-vrs", "--tb=line"]
        # without what the workflow sets for its own jobs
        plain = {key: value for key, value in environ.items() if not key.startswith("VAEGLOW_")}
        done = subprocess.run(command, cwd=shipped("."), env=plain, capture_output=True, text=True)
        text += ["## Tests on the GPU", f"```\n{done.stdout}{done.stderr}\n```"]
    write_text(output, "\n\n".join(text) + "\n")
