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

TRAINING = ("precision", "compile", "threads")  # what an overlay sets


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
    window_seconds: float = 1.0,
    output_dir: Path,
) -> None:
    """Measure, choose, write; on a GPU also run the tests that need one.

    Args:
        config: resolved configs of the models that are compared, as JSON text
        other: those of more models, measured with what is chosen
        cores: CPU cores that training may use
        minutes: how long it may take
        window_seconds: length of a measurement
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
    found = tune(configs, others, on, cores, memory, minutes, data_dir=data_dir, seconds=window_seconds)
    chosen, name = found["chosen"], re.sub("[^a-z0-9]+", "-", provenance["device"].lower()).strip("-")
    said = (
        f"# The fastest on {provenance['device']}: {chosen}, by `make tune` ({name}.md). Add to snakemake's options:\n"
    )
    said += f"# --configfile {output_dir}/{name}.yaml\n"
    overlay = {"overrides": {"training": {key: found["options"][chosen][key] for key in TRAINING}}}
    write_text(output_dir / f"{name}.yaml", said + yaml.safe_dump(overlay))
    report = sections(found, configs | others, provenance)
    if on.type == "cuda":
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "-v", "-rs", "--tb=line", "-p", "no:randomly"]
        limit = ["timeout", str(max(60, int(end - time.monotonic())))]
        done = subprocess.run([*limit, *command], cwd=ROOT, capture_output=True, text=True)
        report += ["## Tests on the GPU", f"```\n{done.stdout}{done.stderr}\n```"]
    write_text(output_dir / f"{name}.md", "\n\n".join(report) + "\n")
    print(*report, f"Written: {output_dir}/{name}.yaml (the settings) and .md (this text).", sep="\n\n")


def sections(found: Mapping[str, Any], configs: Mapping[str, Any], provenance: Mapping[str, Any]) -> list[str]:
    """The paragraphs and tables of the report."""
    import numpy as np
    import pandas as pd

    from vaeglow.training.checkpoint import GOOD, NEWEST

    def spread(values: Any) -> str:
        return f"{np.median(values):.2f} [{np.min(values):.2f}, {np.max(values):.2f}]"

    chosen, plain, options, takes = found["chosen"], found["trials"]["plain"], {}, {}
    for name, models in found["trials"].items():
        cells = {m: spread(np.divide(one["beside"], one["hours"])) for m, one in models.items() if "why" not in one}
        cells |= {
            model: f"{cells.get(model, '')} {one['why']}".strip() for model, one in models.items() if "why" in one
        }
        apart = max((one.get("difference", 0) for one in models.values()), default=0)
        gained = {"all": spread(found["gains"][name])} if name in found["gains"] else {}
        options[name] = gained | {"losses apart": f"{apart:.0e}"} | cells
    for model, one in plain.items():
        best = found["trials"][chosen].get(model, one)
        snapshots = len(configs[model]["training"]["snapshots"])
        tensors = 1 + snapshots + (NEWEST + GOOD) * (3 + snapshots)  # a state: weights, two moments, snapshots so far
        hours = {"hours, plain": np.median(one["hours"]), "hours": np.median(best.get("hours", np.nan))}
        sizes = {"MiB of memory": one["peak_memory_bytes"], "MiB of disk": 4 * one["parameters"] * tensors}
        sizes["MiB of memory"] = best.get("peak_memory_bytes", np.nan)
        takes[model] = hours | {"three seeds": 3 * hours["hours"]} | {key: size / 2**20 for key, size in sizes.items()}
    total = pd.DataFrame(takes).T
    total.loc["one after another"] = total.sum().mask(total.columns == "MiB of memory")
    rates = ", ".join(
        f"{one} {rate:.3g} {'GB/s' if one == 'copies' else 'TFLOP/s'}" for one, rate in found["limits"].items()
    )
    first = next(iter(configs.values()))
    values = ", ".join(f"{key}: {value}" for key, value in found["options"][chosen].items() if key != "times")
    return [
        f"# Training on {provenance['device']}",
        f"{provenance['started']}, commit {provenance['commit']}, torch {provenance['versions']['torch']}, "
        f"{provenance['platform']}. Preset {first['preset']}, dataset {first['dataset']}.",
        f"Large matrix products, and copies in memory: {rates}.",
        f"Chosen: **{chosen}** ({values}).",
        "## Options",
        "How many times as fast as `plain` (float32, uncompiled, the configured threads) a model trains, and all "
        "together: median [lowest, highest]; the largest relative difference of a loss; or why the option is left out.",
        pd.DataFrame(options).T.fillna("").to_markdown(),
        f"## What preset {first['preset']} takes here",
        f"Training only, on {first['dataset']}. Free on this disk: {shutil.disk_usage('.').free / 2**30:.0f} GiB.",
        total.to_markdown(floatfmt=".3g"),
    ]
