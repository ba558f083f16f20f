"""Table 4's measurement: whole steps, whole windows, models in turns, and nothing kept."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from run_tools import resolved, run_step

from vaeglow.results import read_result
from vaeglow.training.timing import WORK, steps_to_fill, time_window

CPU = torch.device("cpu")
WINDOWS = {"batch_size": None, "warmup_steps": 1, "windows": 3, "window_seconds": 0.01}


def timed(folder: Path, data: Path, models: list[str], device: str = "cpu", size: int = 8, **windows: Any) -> dict:
    """What the step time_epoch finds."""
    configs = [resolved(model) for model in models]
    for config in configs:
        config["data"]["size"] = size
    timing = {
        "epoch_images": 50000,
        "cpu": WINDOWS | windows,
        "cuda": WINDOWS | windows,
    }
    options = {
        "data_dir": data,
        "device": device,
        "memory": "stored",
        "threads": 1,
        "output": folder / "timing.json",
    }
    run_step(
        "time_epoch",
        config=list(map(json.dumps, configs)),
        timing=json.dumps(timing),
        **options,
    )
    return json.loads((folder / "timing.json").read_text())


def test_windows_hold_as_many_steps_as_fill_them_and_warm_up_is_not_counted():
    calls = []

    def work() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.002)

    steps = steps_to_fill(work, 2, 0.01, CPU)
    assert 1 <= steps <= 5
    assert len(calls) == 2  # at least 2 ms each, so no more than 5 fill 10 ms
    assert steps_to_fill(work, 1, 0.001, CPU) == 1  # a window shorter than a step still has one
    seconds, cpu_seconds = time_window(work, steps, CPU)
    assert len(calls) == 3 + steps
    assert seconds >= 0.002 * steps
    assert 0 <= cpu_seconds < seconds  # it slept


def test_every_kind_of_model_is_timed_in_one_job(tmp_path, blobs_dir):
    models = ["vae", "vaeglow", "glow", "vaeglow_joint", "pixeliqn", "residual_flow"]
    found = timed(tmp_path, blobs_dir, models)
    assert list(found["models"]) == models
    assert found["device_kind"] == "cpu"
    assert found["epoch_images"] == 50000
    for model, one in found["models"].items():
        assert one["batch_size"] == 16
        assert one["kind"] == resolved(model)["kind"]
        assert one["peak_memory_bytes"] > 10e6
        assert one["parameters"] > 0
        for what in WORK:
            windows = [one[what][clock] for clock in ("seconds", "cpu_seconds")]
            assert np.shape(windows) == (2, 3)
            assert np.min(windows) > 0
            assert one[what]["steps"] >= 1
    (kept,) = tmp_path.glob("timings/*")  # which stays when Snakemake times again
    assert {*tmp_path.iterdir()} == {tmp_path / "timing.json", kept.parent}
    assert kept.stem == found["provenance"]["started"][:19].replace(":", "")
    assert read_result(kept).content["models"] == found["models"]


def test_the_batch_size_of_the_device_wins(tmp_path, blobs_dir):
    assert timed(tmp_path, blobs_dir, ["vae"], batch_size=4)["models"]["vae"]["batch_size"] == 4
