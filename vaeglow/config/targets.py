"""What Snakemake is asked for: everything, what there is of it, and the values of its wildcards."""

import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vaeglow.config import inherited, plan, without
from vaeglow.config.plan import View
from vaeglow.config.registry import kinds_of
from vaeglow.errors import UserError
from vaeglow.files import Config, Facts, local_path
from vaeglow.paths import INCEPTION, RESULTS

TABLE = ("csv", "full.csv", "md", "html", "tex")  # the forms of each
FIGURE = ("png", "pdf")
LEDGER = ("csv", "full.csv", "md", "html")
GPU_PROGRAMS = ("nvidia-smi", "rocm-smi", "amd-smi")  # on the PATH where a driver is; torch sees AMD's GPUs as `cuda`
ON_DISK = {"local", "sources", "root", "file"}  # keys that embedded datasets do not have


def one_of(names: Iterable[Any]) -> str:
    """A regular expression for Snakemake's `wildcard_constraints` that matches these names only."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


def models_of(config: Config, rule: str) -> str:
    """The same for all models that a rule of this name trains (`RULES` of their kinds)."""
    models = []
    for model in config["models"]:
        kind = kinds_of("models")[inherited(config, model, "kind")]
        if kind.RULES[inherited(config, model, "mode")] == rule:
            models.append(model)
    return one_of(models)


def sees_gpu() -> bool:
    """Whether this machine has a GPU's programs; torch itself would take seconds to load."""
    return any(map(shutil.which, GPU_PROGRAMS))


def temperatures(views: Mapping[str, View]) -> list[float]:
    """All temperatures that any preset uses, in order, each once."""
    needs = [need for view in views.values() for need in plan.all_needs(view)]
    return sorted({float(need["temperature"]) for need in needs if "temperature" in need})


def pages(config: Config, view: View) -> list[str]:
    """The training curves of all runs, and the pages of the datasets that they are on."""
    needs = []
    for (dataset, model), run_seeds in plan.runs(config, view).items():
        needs.append({"preset": view["preset"], "dataset": dataset, "model": model, "seeds": run_seeds})
    return plan.paths({"what": what, **need} for what in ("curves", "data_page") for need in needs)


def everything(config: Config, view: View) -> list[str]:
    """All that is made of a preset: its tables, figures and claims, and `pages`."""
    files = [f"results/{table}.{form}" for table in view["tables"] for form in TABLE]
    files += [f"results/{figure}.{form}" for figure in view["figures"] for form in FIGURE]
    files += [f"results/claims.{form}" for form in LEDGER if view["claims"]]
    return files + pages(config, view)


def askable(config: Config, view: View) -> list[str]:
    """All that is made of a preset, with what it is made from, to find the name nearest to a mistyped one."""
    return everything(config, view) + plan.paths(plan.all_needs(view))


def prepared(config: Config, view: View) -> list[str]:
    """What training and measuring take: plan, configs, data, Inception and the references of FIDs."""
    study = plan.study(config, view)
    datasets = sorted({Path(run).parts[1] for run in study["runs"]})
    measured = [need for need in plan.all_needs(view) if "{protocol}" in RESULTS[need["what"]]]
    return [
        f"results/{view['preset']}/study.json",
        *(f"results/{run}/config.json" for run in study["runs"]),
        *(f"resources/data/{dataset}/dataset.json" for dataset in datasets),
        *plan.paths({**need, "what": "reference"} for need in measured),
        INCEPTION,
    ]


def built(config: Config, view: View) -> list[str]:
    """What there is of everything; UserError where nothing is."""
    files = [file for file in everything(config, view) if Path(file).exists()]
    if not files:
        raise UserError("nothing is built: run `make table2`")
    return files


def drawn(config: Config, view: View) -> list[str]:
    """The same, without figures of images that are neither prepared nor embedded, each of which is said."""
    files = []
    for file in built(config, view):
        figure = Path(file).stem if file.endswith(FIGURE) else ""
        shown = plan.figure_data(view, figure, "images") if figure in view["figures"] else []
        on_disk = [path for path in shown if view["datasets"][Path(path).parts[2]].keys() & ON_DISK]
        missing = [path for path in on_disk if not Path(path).exists()]
        if missing:
            print(f"note: {file} is left as it is: it shows images of {missing[0]}, not there", file=sys.stderr)
        else:
            files.append(file)
    return files


def source_settings(config: Config, dataset: str) -> Facts:
    """A dataset's entry without what belongs to a run.

    Raises:
        UserError: the data are not prepared yet, and a path that the entry names is not there.
    """
    entry = config["datasets"][dataset]
    for key in ("root", "file", "local"):
        path = entry.get(key)
        if path and not (local_path(path).exists() or Path(f"resources/data/{dataset}/dataset.json").exists()):
            raise UserError(f"dataset {dataset}: {path} is not there: make it, or correct the path")
    return without(entry, {"train_subset": None, "models": None})


def probe_inputs(probe: Any) -> dict[str, str]:
    """The inputs of a kind of probe by name: results, prepared data with their `info`, Inception's weights."""
    inputs = {name: f"results/{RESULTS[name]}" for name in probe.reads if name in RESULTS}
    for split in ("train", "val", "test"):
        if split in probe.reads:
            inputs["info"] = "resources/data/{dataset}/dataset.json"
            inputs[split] = f"resources/data/{{dataset}}/{split}.npy"
    return inputs | ({"weights": INCEPTION} if "weights" in probe.reads else {})


def report_section(config: Config, section: str, name: str) -> str:
    """Where the report shows a table or a figure: what is called an ablation in a section of its own."""
    return "Ablations" if config[section][name]["title"].startswith("Ablation") else section.capitalize()
