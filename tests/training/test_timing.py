"""Table 4's measurement: whole steps, whole windows, models in turns, and nothing kept."""

import json
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import torch
from run_tools import resolved, run_step

from vaeglow.results import read_result
from vaeglow.training.timing import WORK, steps_to_fill, time_window

CPU = torch.device("cpu")
WINDOWS = {"batch_size": None, "warmup_steps": 1, "windows": 3, "window_seconds": 0.01}


def timed(folder: Path, data: Path, models: list[str], device: str = "cpu", **windows: Any) -> dict:
    """What the step time_epoch finds."""
    output = folder / "timing.json"
    timing = {"epoch_images": 50000, "cpu": WINDOWS | windows, "cuda": WINDOWS | windows}
    run_step(
        "time_epoch",
        config=[json.dumps(resolved(model)) for model in models],
        timing=json.dumps(timing),
        data_dir=data,
        device=device,
        memory="stored",
        threads=1,
        output=output,
    )
    return json.loads(output.read_text())


def test_windows_hold_as_many_steps_as_fill_them_and_warm_up_is_not_counted():
    work = Mock(side_effect=lambda: time.sleep(0.002))
    steps = steps_to_fill(work, 2, 0.01, CPU)
    assert 1 <= steps <= 5  # at least 2 ms each, so no more than 5 fill 10 ms
    assert work.call_count == 2
    assert steps_to_fill(work, 1, 0.001, CPU) == 1  # a window shorter than a step still has one
    seconds, cpu_seconds = time_window(work, steps, CPU)
    assert work.call_count == 3 + steps
    assert seconds >= 0.002 * steps
    assert 0 <= cpu_seconds < seconds  # it slept


def test_models_are_timed_in_one_job(tmp_path, blobs_dir):
    models = ["vaeglow", "pixeliqn"]
    measured = timed(tmp_path, blobs_dir, models, batch_size=4)  # of the device
    assert list(measured["models"]) == models
    for about in measured["models"].values():
        assert about["batch_size"] == 4
        assert about["peak_memory_bytes"] > 10e6
        for what in WORK:
            assert about[what]["steps"] >= 1
            for clock in ("seconds", "cpu_seconds"):
                assert len(about[what][clock]) == 3
                assert min(about[what][clock]) > 0
    (kept,) = tmp_path.glob("timings/*")  # which stays when Snakemake times again
    assert kept.stem == measured["provenance"]["started"][:19].replace(":", "")
    assert read_result(kept).content["models"] == measured["models"]
