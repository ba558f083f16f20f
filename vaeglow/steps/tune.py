"""Find the settings with which training is fastest on this machine: an overlay of the config, and a report."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
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
    """Measure, choose, write; on a GPU also run the tests that need one.

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
    from vaeglow.results import PACKAGE, collect
    from vaeglow.training.run import check_data
    from vaeglow.training.tuning import report, tune

    on, end = pick_device(device), time.monotonic() + 60 * minutes
    provenance = collect(str(on))
    check_data(config[0], data_dir)
    configs, others = ({one["model"]: one for one in some} for some in (config, other))
    minutes *= 0.7 if on.type == "cuda" else 1  # then the tests
    found = tune(configs, others, threads, memory, minutes, device=on.type, data_dir=data_dir)
    training = {key: found["options"][found["chosen"]][key] for key in ("precision", "compile", "threads")}
    overlay = output.with_name(re.sub("[^a-z0-9]+", "-", provenance["device"].lower()).strip("-") + ".yaml")
    content = yaml.safe_dump({"overrides": {"training": training}})
    write_text(overlay, f"# {provenance['device']}: snakemake ... --configfile {overlay}\n{content}")
    text = [*report(found, configs | others, provenance), f"## {overlay}", f"```yaml\n{content}```"]
    if on.type == "cuda":
        command = ["timeout", "-s", "INT", str(max(60, int(end - time.monotonic()))), sys.executable, "-m", "pytest"]
        command += ["-m", "gpu", "-vrs", "--tb=line"]
        # without what the workflow sets for its own jobs
        plain = {key: value for key, value in os.environ.items() if not key.startswith("VAEGLOW_")}
        done = subprocess.run(command, cwd=PACKAGE.parent, env=plain, capture_output=True, text=True)
        text += ["## Tests on the GPU", f"```\n{done.stdout}{done.stderr}\n```"]
    write_text(output, "\n\n".join(text) + "\n")
