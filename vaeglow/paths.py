"""Where each kind of result lies: the one list that planning (inputs of a rule) and reporting (what to open) share.

A rule of the workflow spells its paths out; tables, figures and claims gather files of many runs, and ask here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

RUN = "{preset}/{dataset}/{model}/seed{seed}"
# Relative to the results folder.
RESULTS = {
    "config": f"{RUN}/config.json",
    "model": f"{RUN}/model.safetensors",
    "history": f"{RUN}/history.csv",
    "training": f"{RUN}/training.json",
    "curves": f"{RUN}/curves.png",
    "samples": f"{RUN}/samples/T{{temperature}}.npz",
    "likelihood": f"{RUN}/likelihood.json",
    "likelihood_images": f"{RUN}/likelihood.npz",
    "metrics": f"{RUN}/metrics/{{protocol}}/T{{temperature}}.json",
    "features": f"{RUN}/metrics/{{protocol}}/T{{temperature}}.npz",
    "nearest_training": f"{RUN}/nearest_training/T{{temperature}}.npz",
    "snapshots": f"{RUN}/snapshots/{{protocol}}/T{{temperature}}.json",
    "latents": f"{RUN}/latents.json",
    "layer_draws": f"{RUN}/layer_draws.npz",
    "layer_action": f"{RUN}/layer_action.json",
    "interpolation": f"{RUN}/interpolation/{{space}}.npz",
    "noise_maps": f"{RUN}/noise_maps.npz",
    "linear_reference": f"{RUN}/linear_reference.json",
    "timing": "{preset}/{dataset}/timing.json",
    "reference": "{preset}/{dataset}/fid_reference/{protocol}.npz",
    "inspection": "data/{dataset}.json",
    "data_page": "data/{dataset}.png",
}
# Relative to the folder of prepared data.
DATA = {"info": "{dataset}/dataset.json", "images": "{dataset}/{data}.npy"}


def result_path(root: str | Path, what: str, **wildcards: Any) -> Path:
    """The file of one kind of result.

    Args:
        root: the results folder.
        what: a key of `RESULTS`.
        **wildcards: what its pattern names; more are ignored. A temperature is written with a decimal point.
    """
    if "temperature" in wildcards:
        wildcards["temperature"] = float(wildcards["temperature"])
    return Path(root) / RESULTS[what].format(**wildcards)
