"""Find the fastest settings of training on this machine, write them as an overlay of the config, and report.

The overlay and the report are `{output_dir}/{device}.yaml` and `.md`. On a GPU it also runs the tests that need one.
"""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaeglow.steps import cli


@cli.step
def main(
    *,
    config: list[dict],
    other: list[dict] = (),
    data_dir: Path,
    device: str,
    cores: int,
    minutes: float,
    window_seconds: float = 1.0,
    output_dir: Path,
) -> None:
    """Measure, choose, write.

    Args:
        config: resolved configs of the models that are compared, as JSON text
        other: of more models, measured with what was chosen
        cores: CPU cores that training may use
        minutes: how long it may take
        window_seconds: length of each measurement
        output_dir: folder to write to
    """
    import yaml

    from vaeglow.device import pick_device
    from vaeglow.files import write_text
    from vaeglow.provenance import collect
    from vaeglow.training.run import check_data
    from vaeglow.training.tuning import tune

    on, end = pick_device(device), time.monotonic() + 60 * minutes
    provenance = collect(str(on))
    for one in [*config, *other]:
        check_data(one, data_dir)
    configs, others = ({one["model"]: one for one in some} for some in (config, other))
    share = 0.7 if on.type == "cuda" else 1.0  # the rest is for the tests
    found = tune(configs, others, on, cores, share * minutes, data_dir=data_dir, seconds=window_seconds)
    best = found["options"][found["chosen"]]
    overlay: dict[str, Any] = {"overrides": {"training": {k: best[k] for k in ("precision", "compile", "threads")}}}
    if best["memory"] == "checkpoint":
        overlay["runtime"] = {"memory": "checkpoint"}
    path = output_dir / re.sub("[^a-z0-9]+", "-", provenance["device"].lower()).strip("-")
    text = f"# Found by `make tune` on {provenance['device']}: {found['chosen']}. {path.name}.md says how.\n"
    text += f"# snakemake --cores {cores} results/table2.csv --configfile {path}.yaml --config preset=...\n"
    write_text(f"{path}.yaml", text + yaml.safe_dump(overlay))
    report = sections(found, configs | others, provenance, f"{path}.yaml")
    if on.type == "cuda":
        report += ["## Tests on the GPU", f"```\n{gpu_tests(end - time.monotonic())}\n```"]
    write_text(f"{path}.md", "\n\n".join(report) + "\n")
    print("\n\n".join(report), f"\nwritten: {path}.yaml, {path}.md")


def sections(found: dict[str, Any], configs: Mapping[str, Any], provenance: dict[str, Any], overlay: str) -> list[str]:
    """The report's paragraphs and tables."""
    import numpy as np
    import pandas as pd

    from vaeglow.training.checkpoint import GOOD, NEWEST
    from vaeglow.training.tuning import hours

    def spread(values: Any) -> str:
        return f"{np.median(values):.2f} [{np.min(values):.2f}, {np.max(values):.2f}]"

    def table(rows: list[dict[str, Any]]) -> str:
        return pd.DataFrame(rows).fillna("").to_markdown(index=False, disable_numparse=True)

    chosen, rows, takes = found["chosen"], [], []
    for name, models in found["trials"].items():
        row = {"option": name, "all": spread(found["gains"][name]) if name in found["gains"] else ""}
        for model, one in models.items():
            row[model] = (
                one.get("why") or f"{spread(np.divide(one['beside'], one['seconds']))}, {one['difference']:.0e}"
            )
        rows.append(row)
    for model, plain in found["trials"]["plain"].items():
        best = found["trials"][chosen].get(model, plain)
        best = plain if "why" in best else best
        snapshots = len(configs[model]["training"]["snapshots"])
        files = 1 + snapshots + (NEWEST + GOOD) * (3 + snapshots)  # a state: weights and two moments, snapshots so far
        plainly, now = (np.median(hours(configs[model], one, "seconds")) for one in (plain, best))
        takes.append({"model": model, "hours, plain": plainly, "hours": now, "hours, 3 seeds": 3 * now})
        takes[-1] |= {"memory, MiB": best["memory"] / 2**20, "disk, MiB": 4 * best["parameters"] * files / 2**20}
    total = {key: sum(row[key] for row in takes) for key in takes[0] if key not in ("model", "memory, MiB")}
    rounded = [{k: v if isinstance(v, str) else f"{v:.3g}" for k, v in row.items()} for row in [*takes, total]]
    rounded[-1]["model"] = "all, one after another"
    first = next(iter(configs.values()))
    limits = ", ".join(f"{n} {v:.3g} {'GB/s' if n == 'copies' else 'TFLOP/s'}" for n, v in found["limits"].items())
    return [
        f"# Training on {provenance['device']}",
        f"{provenance['started']}, commit {provenance['commit']}, torch {provenance['versions']['torch']}, "
        f"{provenance['platform']}; preset {first['preset']}, dataset {first['dataset']}.",
        f"Large matrix products and copies: {limits}.",
        f"Chosen: **{chosen}**, {found['options'][chosen]}; in `{overlay}`.",
        "## Options",
        "Times as fast as `plain` (float32, uncompiled): median [lowest, highest] of the rounds; the largest relative "
        "difference of a loss in the first steps; or why it is left out.",
        table(rows),
        f"## What {first['preset']} takes here",
        f"Training alone, on {first['dataset']}, without evaluation; {shutil.disk_usage('.').free / 2**30:.0f} GiB of "
        "disk are free.",
        table(rounded),
    ]


def gpu_tests(seconds: float) -> str:
    """What pytest says of the tests that need a GPU."""
    from vaeglow.provenance import ROOT

    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-rA", "--show-capture=no", "--tb=line"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=max(60, seconds))
    except subprocess.TimeoutExpired as error:
        return f"{(error.stdout or b'').decode()[-5000:]}\nstopped: no time left"
    return (done.stdout + done.stderr)[-20000:].strip()
