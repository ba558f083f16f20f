"""Table 4's measurement: whole steps, whole windows, models in turns, and nothing kept."""

from __future__ import annotations

import json
import time

import pytest
import torch
from run_tools import resolved

from vaeglow.steps import time_epoch
from vaeglow.training.timing import KINDS, steps_to_fill, time_window

CPU = torch.device("cpu")
WINDOWS = {"batch_size": None, "warmup_steps": 1, "windows": 3, "window_seconds": 0.01}
TIMING = {"epoch_images": 50000, "cpu": WINDOWS, "cuda": WINDOWS}


def run(tmp_path, blobs_dir, models: list[str], timing: dict) -> dict:
    output = tmp_path / "timing.json"
    configs = [json.dumps(resolved(model)) for model in models]
    arguments = ["--config", *configs, "--data-dir", str(blobs_dir), "--timing", json.dumps(timing)]
    time_epoch.main([*arguments, "--device", "cpu", "--threads", "1", "--output", str(output)])
    return json.loads(output.read_text())


def test_windows_hold_as_many_steps_as_fill_them_and_warm_up_is_not_counted():
    calls = []

    def work() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.002)

    steps = steps_to_fill(work, 2, 0.01, CPU)
    assert 1 <= steps <= 5 and len(calls) == 2  # at least 2 ms each, so no more than 5 fill 10 ms
    seconds, cpu_seconds = time_window(work, steps, CPU)
    assert len(calls) == 2 + steps and seconds >= 0.002 * steps
    assert 0 <= cpu_seconds < seconds  # it slept


def test_a_window_shorter_than_a_step_still_has_one():
    assert steps_to_fill(lambda: time.sleep(0.003), 1, 0.001, CPU) == 1


def test_every_kind_of_model_is_timed_in_one_job(tmp_path, blobs_dir):
    models = ["vae", "vaeglow", "glow", "vaeglow_joint"]
    found = run(tmp_path, blobs_dir, models, TIMING)
    assert list(found["models"]) == models and found["device_kind"] == "cpu" and found["epoch_images"] == 50000
    for model, one in found["models"].items():
        assert one["batch_size"] == 16 and one["kind"] == resolved(model)["kind"]
        assert one["peak_memory_bytes"] > 10e6 and one["parameters"] > 0
        for what in KINDS:
            for clock in ("seconds", "cpu_seconds"):
                assert len(one[what][clock]) == 3 and min(one[what][clock]) > 0
            assert one[what]["steps"] >= 1
    assert list(tmp_path.iterdir()) == [tmp_path / "timing.json"]


def test_the_batch_size_of_the_device_wins(tmp_path, blobs_dir):
    timing = {**TIMING, "cpu": {**WINDOWS, "batch_size": 4}}
    assert run(tmp_path, blobs_dir, ["vae"], timing)["models"]["vae"]["batch_size"] == 4


def test_other_data_than_the_config_describes_are_refused(tmp_path, blobs_dir):
    config = resolved("vae")
    config["data"]["size"] = 16
    arguments = ["--config", json.dumps(config), "--data-dir", str(blobs_dir), "--timing", json.dumps(TIMING)]
    with pytest.raises(Exception, match="size 8, the run's config says 16"):
        time_epoch.main([*arguments, "--device", "cpu", "--threads", "1", "--output", str(tmp_path / "x.json")])
