"""The names of a run, and the path of each kind of result: the one list that planning and reporting share. No torch."""

import re
from pathlib import Path
from typing import Any

from vaeglow.config.registry import kinds_of
from vaeglow.files import AnyPath, Config, Facts

PACKAGE = Path(__file__).resolve().parent
INCEPTION = "resources/weights/inception-2015-12-05.safetensors"  # of the step `inception_weights`
IDENTITY = ("preset", "dataset", "model", "seed")
RUN = "{preset}/{dataset}/{model}/seed{seed}"
# Relative to the results folder.
RESULTS = {
    "config": f"{RUN}/config.json",
    "model": f"{RUN}/model.safetensors",
    "history": f"{RUN}/history.csv",
    "training": f"{RUN}/training.json",
    "snapshots": f"{RUN}/snapshots.safetensors",
    "registration": f"{RUN}/registration.json",
    "curves": f"{RUN}/curves.png",
    "samples": f"{RUN}/samples/T{{temperature}}.npz",
    "shown": f"{RUN}/shown/T{{temperature}}.npz",
    "likelihood": f"{RUN}/likelihood.json",
    "likelihood_images": f"{RUN}/likelihood.npz",
    "metrics": f"{RUN}/metrics/{{protocol}}/T{{temperature}}.json",
    "draws": f"{RUN}/metrics/{{protocol}}/T{{temperature}}.npz",
    "snapshot_metrics": f"{RUN}/snapshots/{{protocol}}/T{{temperature}}.json",
    **{name: f"{RUN}/{probe.result}" for name, probe in kinds_of("probes").items()},
    "layer_images": f"{RUN}/layer_action.npz",
    "timing": "{preset}/{dataset}/timing.json",  # that of the present config
    "timings": "{preset}/{dataset}/timings/{started}.json",
    "reference": "{preset}/{dataset}/fid_reference/{protocol}.npz",
    "floor": "{preset}/{dataset}/floor/{protocol}.json",
    "inspection": "data/{dataset}.json",
    "data_page": "data/{dataset}.png",
    "near_copies": "data/{dataset}_near_copies.npz",
}


def shipped(name: str) -> Path:
    """A file or folder that lies beside the package in the repository, such as config/: in a wheel its copy."""
    copies = PACKAGE / "shipped"
    return (copies if copies.is_dir() else PACKAGE.parent) / name


def identity(content: Config) -> Facts:
    """The four names of a run, from its resolved config or a result."""
    return {key: content[key] for key in IDENTITY}


def result_path(root: AnyPath, what: str, **wildcards: Any) -> Path:
    """The file of one kind of result.

    Args:
        root: the results folder.
        what: a key of `RESULTS`.
        **wildcards: what its pattern names; others are ignored. A temperature is written with a decimal point.
    """
    if "temperature" in wildcards:
        wildcards["temperature"] = float(wildcards["temperature"])
    return Path(root) / RESULTS[what].format(**wildcards)


def with_timings(path: Path) -> list[Path]:
    """A file, and before a timing.json all timings: none is deleted because of what it says."""
    return [*sorted(path.parent.glob("timings/*.json")), path]


def kind_of(path: str) -> tuple[str, dict[str, str]]:
    """The kind of result at a path below the results folder, and what its pattern names; empty if there is none."""
    for what, pattern in RESULTS.items():
        text = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(pattern))
        match = re.fullmatch(text.replace("seed(?P<seed>[^/]+)", r"seed(?P<seed>\d+)"), path)
        if match:
            return what, match.groupdict()
    return "", {}
