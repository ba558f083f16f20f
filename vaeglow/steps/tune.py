"""Find the settings with which training is fastest on this machine: an overlay of the config, and a report."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from vaeglow.steps import cli


def sections(found: Mapping[str, Any], configs: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[str]:
    """The paragraphs and tables of the report."""
    import numpy as np
    import pandas as pd

    from vaeglow.training.checkpoint import GOOD, NEWEST

    def spread(values: Any) -> str:
        return "{1:.2f} [{0:.2f}, {2:.2f}]".format(*np.quantile(values, [0, 0.5, 1]))

    chosen, options, takes, unknown = found["chosen"], {}, {}, {"hours": np.nan, "peak_memory_bytes": np.nan}
    for name, models in found["trials"].items():
        gained = {"all": spread(found["gains"][name])} if name in found["gains"] else {}
        apart = [one["difference"] for one in models.values() if "difference" in one]
        cells = {m: one.get("why") or spread(np.divide(one["beside"], one["hours"])) for m, one in models.items()}
        options[name] = gained | {"losses apart": f"{max(apart):.0e}" if apart else ""} | cells
    for model, plain in found["trials"]["plain"].items():
        best = {**unknown, "beside": plain["hours"], **found["trials"][chosen].get(model, {})}
        before, hours = np.median(best["beside"]), np.median(best["hours"])
        snapshots = len(configs[model]["training"]["snapshots"])
        tensors = 1 + snapshots + (NEWEST + GOOD) * (3 + snapshots)  # a state: weights, two moments, snapshots so far
        sizes = {"memory": best["peak_memory_bytes"], "disk": 4 * plain["parameters"] * tensors}
        takes[model] = {"hours, plain": before, "hours": hours, "three seeds": 3 * hours}
        takes[model] |= {f"MiB of {what}": size / 2**20 for what, size in sizes.items()}
    total = pd.DataFrame(takes).T
    total.loc["one after another"] = total.sum().mask(total.columns == "MiB of memory")
    rates = ", ".join(f"{name} {rate:.3g}" for name, rate in found["limits"].items())
    first = next(iter(configs.values()))
    values = ", ".join(f"{key}: {value}" for key, value in found["options"][chosen].items() if key != "times")
    return [
        f"# Training on {provenance['device']}",
        f"Preset {first['preset']}, dataset {first['dataset']}. {provenance['started']}, {provenance['platform']}, "
        f"commit {provenance['commit']}, torch {provenance['versions']['torch']}.",
        f"Large matrix products in TFLOP/s, and copies in memory in GB/s: {rates}.\n\nChosen: **{chosen}** ({values}).",
        "## Options",
        "How many times as fast as `plain` (float32, uncompiled, the configured threads) a model trains, and all "
        "together: median [lowest, highest]; the largest relative difference of a loss; or why the option is left out.",
        pd.DataFrame(options).T.fillna("").to_markdown(disable_numparse=True),
        f"## What preset {first['preset']} takes here",
        f"Training only, on {first['dataset']}. Free on this disk: {shutil.disk_usage('.').free / 2**30:.0f} GiB.",
        total.map("{:.4g}".format).replace("nan", "").to_markdown(disable_numparse=True),
    ]


@cli.step
def main(
    *,
    config: list[dict],
    other: list[dict] = (),
    data_dir: Path,
    device: str,
    memory: Literal["stored", "checkpoint"],
    cores: int,
    minutes: float,
    output_dir: Path,
) -> None:
    """Measure, choose, write; on a GPU also run the tests that need one.

    Args:
        config: resolved configs of the models that are compared, as JSON text
        other: those of more models, measured with what is chosen
        cores: CPU cores that training may use
        minutes: how long it may take
        output_dir: folder for the two files, named by the device
    """
    import yaml

    from vaeglow.device import pick_device
    from vaeglow.files import write_text
    from vaeglow.provenance import ROOT, collect
    from vaeglow.training.run import check_data
    from vaeglow.training.tuning import tune

    on, end = pick_device(device), time.monotonic() + 60 * minutes
    provenance = collect(str(on))
    for one in [*config, *other]:
        check_data(one, data_dir)
    configs, others = ({one["model"]: one for one in some} for some in (config, other))
    minutes *= 0.7 if on.type == "cuda" else 1  # then the tests
    found = tune(configs, others, on, cores, memory, minutes, data_dir)
    chosen, name = found["chosen"], re.sub("[^a-z0-9]+", "-", provenance["device"].lower()).strip("-")
    said = f"# The fastest on {provenance['device']}: {chosen}, by `make tune`; {name}.md says why.\n"
    said += f"# snakemake ... --configfile {output_dir}/{name}.yaml\n"
    training = {key: found["options"][chosen][key] for key in ("precision", "compile", "threads")}
    write_text(output_dir / f"{name}.yaml", said + yaml.safe_dump({"overrides": {"training": training}}))
    report = sections(found, configs | others, provenance)
    if on.type == "cuda":
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "-v", "-rs", "--tb=line", "-p", "no:randomly"]
        limit = max(60, int(end - time.monotonic()))
        done = subprocess.run(["timeout", "-s", "INT", str(limit), *command], cwd=ROOT, capture_output=True, text=True)
        report += ["## Tests on the GPU", f"```\n{done.stdout}{done.stderr}\n```"]
    write_text(output_dir / f"{name}.md", "\n\n".join(report) + "\n")
    print(*report, f"Written: {output_dir}/{name}.yaml (the settings) and .md (this text).", sep="\n\n")
