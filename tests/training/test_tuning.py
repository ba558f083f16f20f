"""`make tune`: what is measured, what is left out, which settings are chosen, the overlay and the report."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from run_tools import checked, flags, prepare, resolved, shipped_config

from vaeglow import provenance
from vaeglow.config import merge, resolve
from vaeglow.errors import UserError
from vaeglow.steps import tune as step
from vaeglow.training import tuning

CPU = torch.device("cpu")
PLAIN = {"precision": "float32", "compile": False, "threads": 1, "memory": "stored", "times": 1}
MODELS = ("glow", "vae", "vaeglow")


def test_an_option_is_measured_beside_the_plain_settings_or_named_with_its_reason(tmp_path, monkeypatch):
    monkeypatch.setitem(tuning.BOUNDS, "bf16", 1e-9)
    monkeypatch.setattr(tuning, "SECONDS", 0.01)
    options = {"bf16": PLAIN | {"precision": "bf16", "times": 1}, "no thread": PLAIN | {"threads": 0}}
    place = {"data_dir": prepare(tmp_path / "data"), "device": "cpu"}
    found = tuning.compare({"vae": resolved("vae")}, PLAIN, options, time.monotonic() + 1e6, **place)
    assert list(found) == ["plain", *options]
    assert 0 < found["bf16"]["vae"]["difference"] < 1e-2 and found["plain"]["vae"]["difference"] == 0
    assert found["bf16"]["vae"]["why"].startswith("losses differ by")
    for one in (found["plain"]["vae"], found["bf16"]["vae"]):
        assert len(one["losses"]) == tuning.STEPS and one["losses"][-1] < one["losses"][0]
        assert len(one["hours"]) == len(one["beside"]) == tuning.ROUNDS and min(*one["hours"], *one["beside"]) > 0
    assert list(found["no thread"]["vae"]) == ["why"] and "threads" in found["no thread"]["vae"]["why"]
    with tuning.trial(resolved("vae"), PLAIN, **place) as turn, pytest.raises(UserError, match="not done"):
        turn(time.monotonic())


@pytest.mark.parametrize(
    ("option", "losses", "why"),
    [
        ({}, [2.0, 4.0002], None),
        ({}, [2.0, 4.002], "losses differ by 5.0e-04 at first, by 5.0e-04 in all"),
        ({"precision": "tf32"}, [2.0, 4.002], None),
        ({"precision": "bf16"}, [2.03, 4.0], "losses differ by 1.5e-02 at first, by 1.5e-02 in all"),
        ({"precision": "bf16", "compile": True}, [2.03, 4.0], None),
        ({"precision": "bf16"}, [float("nan"), 4.0], "losses differ by nan at first, by nan in all"),
        ({}, [2.0, 4.0, 2.0, 4.0, 2.01], None),  # rounding has grown by then
        ({}, [2.0, 4.0, 2.0, 4.0, 2.1], "losses differ by 0.0e+00 at first, by 5.0e-02 in all"),
        ({"times": 2}, [3.0, 3.0], None),  # other images
        ({"compile": True}, [], "no compiler"),
    ],
)
def test_one_bad_model_is_enough(option, losses, why, tmp_path, monkeypatch):
    started = []

    @contextmanager
    def trial(config, option, **place):
        started.append((config["model"], option))
        if option == PLAIN or config["model"] != "vae":
            found = [2.0, 4.0, 2.0, 4.0, 2.0][: len(losses) or 2]
        elif not losses:
            raise RuntimeError("no compiler\nat all")
        else:
            found = losses
        one = {"losses": found, "batch_size": 16 * option["times"], "training": {"steps": 2, "seconds": [3.6]}}
        yield lambda until=0: dict(one)

    monkeypatch.setattr(tuning, "trial", trial)
    full, configs = PLAIN | {"option": 0} | option, {model: resolved(model) for model in MODELS}
    place = {"data_dir": prepare(tmp_path), "device": "cpu"}
    found = tuning.compare(configs, PLAIN, {"it": full}, time.monotonic() + 1e6, **place)
    assert found["it"]["vae"].get("why") == why
    assert ("vaeglow", full) in started or why  # after a failure it is not tried again
    assert found["plain"]["glow"]["hours"] == pytest.approx([2 * 4 * 1.8 / 3600] * tuning.ROUNDS)  # 2 epochs of 4 steps
    late = tuning.compare(configs, PLAIN, {"it": full}, time.monotonic(), **place)
    assert late["it"]["glow"]["why"] == "no time left" and list(late["plain"]) == ["glow"]


def found_by(monkeypatch: pytest.MonkeyPatch, gains: dict[str, Any], cores: int = 1, device: str = "cpu") -> dict:
    """What `tune` makes of gains, round by round, the same for all models (or by model); 1.0 where none is given."""

    def compare(configs, plain, options, end, **place):
        found = {}
        for name, option in {"plain": plain, **options}.items():
            found[name] = {}
            for model in configs:
                gained = gains.get(name, [1.0] * 3)
                gained = gained.get(model, [1.0] * 3) if isinstance(gained, dict) else gained
                if isinstance(gained, str):
                    found[name][model] = {"why": gained}
                    break
                one = {"beside": [6.0] * 3, "hours": [6 / gain for gain in gained], "difference": 1e-3}
                found[name][model] = one | {"peak_memory_bytes": 2**30, "parameters": 2**18, "option": option}
        return found

    monkeypatch.setattr(tuning, "compare", compare)
    monkeypatch.setattr(tuning, "limits", lambda device: {"float32": 1.0, "bf16": 2.0, "copies": 100.0})
    configs = {model: resolved(model) for model in MODELS}
    others = {"vae_standard": resolved("vae_standard")}
    return tuning.tune(configs, others, torch.device(device), cores, "stored", 1.0, Path())


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        ({}, "plain"),
        ({"bf16": [1.8, 2.2, 2.0]}, "bf16"),
        ({"bf16": [0.7, 0.8, 0.6]}, "plain"),
        ({"bf16": [0.99, 2.2, 2.0]}, "plain"),  # not in every round
        ({"bf16": [1.02, 1.03, 1.04]}, "plain"),  # not worth other bits
        ({"bf16": [1.8, 2.2, 2.0], "bf16, compiled": [1.9, 2.1, 2.3]}, "bf16, compiled"),
        ({"bf16": [1.8, 2.2, 2.0], "bf16, compiled": "no compiler"}, "bf16"),
        ({"bf16": {"glow": [3.0] * 3, "vae": [2.0] * 3, "vaeglow": "losses differ"}}, "plain"),  # all or none
        ({"bf16": {"glow": [2.0] * 3, "vae": [0.9] * 3, "vaeglow": [0.9] * 3}}, "bf16"),  # all together gain
    ],
)
def test_the_fastest_valid_set_is_chosen_the_same_for_all_models(monkeypatch, gains, chosen):
    found = found_by(monkeypatch, gains)
    assert found["chosen"] == chosen
    assert list(found["trials"]["plain"]) == [*MODELS, "vae_standard"]
    assert chosen == "plain" or list(found["trials"][chosen]) == [*MODELS, "vae_standard"]
    assert {f"{chosen}, checkpoint", f"{chosen}, double batch"} <= set(found["trials"])


def test_more_threads_must_pay_for_the_cores_that_they_take(monkeypatch):
    """Two cores train two models side by side, on one thread each."""
    assert found_by(monkeypatch, {"2 threads": [1.4] * 3}, cores=2)["chosen"] == "plain"
    found = found_by(monkeypatch, {"2 threads": [1.9] * 3, "bf16": [2.2] * 3}, cores=4)  # three models, four cores
    assert found["chosen"] == "bf16" and found["options"]["bf16"]["threads"] == 2
    assert set(found["trials"]) >= {"2 threads", "4 threads"}


def test_a_gpu_has_more_options(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    found = found_by(monkeypatch, {"tf32, CUDA graphs": [3.0] * 3, "tf32": [1.5] * 3}, device="cuda")
    names = {f"{one}{how}" for one in ("float32", "tf32", "bf16") for how in ("", ", compiled", ", CUDA graphs")}
    assert names - {"float32"} <= set(found["trials"]) and found["chosen"] == "tf32, CUDA graphs"
    assert not any("threads" in name for name in found["trials"])


def written(folder: Path, monkeypatch: pytest.MonkeyPatch, found: dict, device: str) -> tuple[dict, str]:
    """The overlay and the report of the step."""
    monkeypatch.setattr(tuning, "tune", lambda *_, **__: found)
    monkeypatch.setattr("vaeglow.device.pick_device", lambda _: torch.device(device))
    plain = provenance.collect("cpu")
    monkeypatch.setattr(provenance, "collect", lambda _: plain | {"device": "NVIDIA H100 80GB (R)"})
    configs = {name: [json.dumps(resolved(one)) for one in some] for name, some in
               {"config": MODELS, "other": ["vae_standard"]}.items()}  # fmt: skip
    options = {"data_dir": prepare(folder / "data"), "device": device, "memory": "stored", "cores": 1, "minutes": 1}
    step.main(flags(**configs, **options, output_dir=folder / "tuned"))
    overlay, report = (folder / f"tuned/nvidia-h100-80gb-r.{ending}" for ending in ("yaml", "md"))
    return yaml.safe_load(overlay.read_text()), report.read_text()


def test_the_overlay_changes_all_models_and_the_report_says_why(tmp_path, monkeypatch, capsys):
    gains = {"bf16": [1.8, 2.2, 2.0], "float32, compiled": {"glow": "no compiler"}}
    overlay, report = written(tmp_path, monkeypatch, found_by(monkeypatch, gains), "cpu")
    assert overlay == {"overrides": {"training": {"precision": "bf16", "compile": False, "threads": 1}}}
    checked(yaml.safe_dump(overlay))  # of every preset
    config = merge(shipped_config(), overlay)
    for model in config["models"]:
        training = resolve(config, "demo", "photos32", model, 0)["training"]
        assert (training["precision"], training["threads"]) == ("bf16", 1)
    assert report.strip() in capsys.readouterr().out
    for said in (
        "Chosen: **bf16**",
        "2.00 [1.80, 2.20]",
        "no compiler",
        "float32 1, bf16 2, copies 100",
    ):
        assert said in report
    [row] = [line for line in report.splitlines() if line.startswith("| vaeglow ")]
    assert [cell.strip() for cell in row.split("|")[2:6]] == ["6", "3", "9", "1024"]
    [total] = [line for line in report.splitlines() if line.startswith("| one after another ")]
    assert [cell.strip() for cell in total.split("|")[2:6]] == ["24", "12", "36", ""]


def test_on_a_gpu_the_report_has_its_tests(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    found = found_by(monkeypatch, {}, device="cuda")
    called = []
    done = subprocess.CompletedProcess([], 1, "test_the_same_on_a_gpu FAILED", "")
    monkeypatch.setattr(step.subprocess, "run", lambda command, **_: called.append(command) or done)
    monkeypatch.setattr(provenance, "git_state", lambda *_: ("unknown", None))
    _, report = written(tmp_path, monkeypatch, found, "cuda")
    assert called[0][0] == "timeout" and "gpu" in called[0]
    assert report.rstrip().endswith("test_the_same_on_a_gpu FAILED\n```")


def test_limits_are_positive():
    assert all(rate > 0 for rate in tuning.limits(CPU).values())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_options_of_a_gpu_are_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(tuning, "SECONDS", 0.1)
    options = {"tf32": {"precision": "tf32"}, "graphs": {"compile": "graphs"}, "both": {}}
    options["both"] = options["tf32"] | options["graphs"]
    options = {name: PLAIN | option for name, option in options.items()}
    place = {"data_dir": prepare(tmp_path / "data"), "device": "cuda"}
    found = tuning.compare({"glow": resolved("glow")}, PLAIN, options, time.monotonic() + 600, **place)
    assert [one["glow"].get("why") for one in found.values()] == [None] * 4
    assert set(tuning.limits(torch.device("cuda"))) == {"float32", "tf32", "bf16", "copies"}
