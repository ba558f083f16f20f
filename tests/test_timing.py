"""Table 4's measurement: whole steps, whole windows, scaled to an epoch, and nothing kept."""

from __future__ import annotations

import json
import time

import pytest
import torch
from run_tools import resolved

from vaeglow.steps import time_epoch
from vaeglow.training.timing import rates, spread, time_windows

TIMING = {
    "epoch_images": 50000,
    "cpu": {"batch_size": None, "warmup_steps": 1, "windows": 3, "window_seconds": 0.01},
    "cuda": {"batch_size": None, "warmup_steps": 1, "windows": 3, "window_seconds": 0.01},
}


def run(tmp_path, blobs_dir, model: str, timing: dict) -> dict:
    output = tmp_path / "timing.json"
    arguments = ["--config", json.dumps(resolved(model)), "--data-dir", str(blobs_dir), "--timing", json.dumps(timing)]
    time_epoch.main([*arguments, "--device", "cpu", "--threads", "1", "--output", str(output)])
    return json.loads(output.read_text())


def test_windows_hold_as_many_steps_as_fill_them_and_warm_up_is_not_counted():
    calls = []

    def work() -> None:
        calls.append(time.perf_counter())
        time.sleep(0.002)

    timed = time_windows(work, 2, 3, 0.01, torch.device("cpu"))
    steps = {count for count, _ in timed}
    assert len(steps) == 1 and 1 <= steps.pop() <= 5  # at least 2 ms each, so no more than 5 fill 10 ms
    assert len(calls) == 2 + sum(count for count, _ in timed)
    assert all(seconds >= 0.002 * count for count, seconds in timed)


def test_a_window_shorter_than_a_step_still_has_one():
    assert [count for count, _ in time_windows(lambda: time.sleep(0.003), 1, 2, 0.001, torch.device("cpu"))] == [1, 1]


def test_rates_and_spread():
    values = rates([(2, 1.0), (2, 4.0), (2, 2.0)], 10)
    assert values == [20, 5, 10]
    assert spread(values) == {"median": 10, "low": 5, "high": 20}


@pytest.mark.parametrize("model", ["vae", "vaeglow", "glow", "vaeglow_joint"])
def test_every_kind_of_model_is_timed_and_scaled_to_an_epoch(model, tmp_path, blobs_dir):
    found = run(tmp_path, blobs_dir, model, TIMING)
    per_image = found["window_seconds_per_image"]
    assert found["windows"] == len(per_image) == 3 and min(per_image) > 0
    assert found["seconds_per_epoch"]["median"] == pytest.approx(50000 * sorted(per_image)[1])
    assert found["images_per_second"]["high"] == pytest.approx(1 / min(per_image))
    assert found["batch_size"] == 16 and found["device_kind"] == "cpu" and found["kind"] == resolved(model)["kind"]
    assert found["sampling"]["images_per_second"]["low"] > 0
    assert found["peak_memory_bytes"] > 10e6 and found["parameters"] > 0
    assert list(tmp_path.iterdir()) == [tmp_path / "timing.json"]


def test_the_batch_size_of_the_device_wins(tmp_path, blobs_dir):
    timing = {**TIMING, "cpu": {**TIMING["cpu"], "batch_size": 4}}
    assert run(tmp_path, blobs_dir, "vae", timing)["batch_size"] == 4


def test_other_data_than_the_config_describes_are_refused(tmp_path, blobs_dir):
    config = resolved("vae")
    config["data"]["size"] = 16
    arguments = ["--config", json.dumps(config), "--data-dir", str(blobs_dir), "--timing", json.dumps(TIMING)]
    with pytest.raises(Exception, match="size 8, the run's config says 16"):
        time_epoch.main([*arguments, "--device", "cpu", "--threads", "1", "--output", str(tmp_path / "x.json")])
