"""Runs, and the path of each kind of result: the one list that planning and reporting share. No torch."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vaeglow.evaluation.probes import PROBES

IDENTITY = ("preset", "dataset", "model", "seed")
RUN = "{preset}/{dataset}/{model}/seed{seed}"
# Relative to the results folder.
RESULTS = {
    "config": f"{RUN}/config.json",
    "model": f"{RUN}/model.safetensors",
    "history": f"{RUN}/history.csv",
    "training": f"{RUN}/training.json",
    "kept_weights": f"{RUN}/snapshots.safetensors",
    "curves": f"{RUN}/curves.png",
    "samples": f"{RUN}/samples/T{{temperature}}.npz",
    "likelihood": f"{RUN}/likelihood.json",
    "likelihood_images": f"{RUN}/likelihood.npz",
    "metrics": f"{RUN}/metrics/{{protocol}}/T{{temperature}}.json",
    "features": f"{RUN}/metrics/{{protocol}}/T{{temperature}}.npz",
    "snapshots": f"{RUN}/snapshots/{{protocol}}/T{{temperature}}.json",
    **{name: f"{RUN}/{probe.result}" for name, probe in PROBES.items()},
    "timing": "{preset}/{dataset}/timing.json",
    "reference": "{preset}/{dataset}/fid_reference/{protocol}.npz",
    "inspection": "data/{dataset}.json",
    "data_page": "data/{dataset}.png",
}
# Relative to the folder of prepared data.
DATA = {"info": "{dataset}/dataset.json", "images": "{dataset}/{data}.npy"}


class Run(NamedTuple):
    """One model of a preset, trained on a dataset under one seed: the four names in every result of it."""

    preset: str
    dataset: str
    model: str
    seed: int

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Run:
        """The run of a resolved config or a result."""
        return cls(**{key: content[key] for key in IDENTITY})

    @property
    def identity(self) -> dict[str, Any]:
        """The names by key."""
        return self._asdict()

    def path(self, what: str, root: str | Path = "results", **others: Any) -> Path:
        """See `result_path`; `others` is what else the path names: protocol, temperature, space."""
        return result_path(root, what, **self.identity, **others)


def result_path(root: str | Path, what: str, **wildcards: Any) -> Path:
    """The file of one kind of result.

    Args:
        root: the results folder.
        what: a key of `RESULTS`.
        **wildcards: what its pattern names; others are ignored. A temperature is written with a decimal point.
    """
    if "temperature" in wildcards:
        wildcards["temperature"] = float(wildcards["temperature"])
    return Path(root) / RESULTS[what].format(**wildcards)


def names_in(path: str) -> tuple[str, dict[str, str]]:
    """The kind of result at a path below the results folder, and what its pattern names; empty if there is none."""
    found = ((what, pattern.fullmatch(path)) for what, pattern in expressions().items())
    return next(((what, match.groupdict()) for what, match in found if match), ("", {}))


@functools.cache
def expressions() -> dict[str, re.Pattern[str]]:
    """A regular expression for each pattern of `RESULTS`."""
    named = {what: re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(text)) for what, text in RESULTS.items()}
    return {what: re.compile(text.replace("seed(?P<seed>[^/]+)", r"seed(?P<seed>\d+)")) for what, text in named.items()}
