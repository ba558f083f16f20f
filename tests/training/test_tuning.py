"""`make tune`: what is measured, what is left out, which settings are chosen, the overlay and the report."""

import json
import re
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from refusals import user_error
from run_tools import checked, flags, resolved

from vaeglow import results
from vaeglow.errors import UserError
from vaeglow.steps import tune as step
from vaeglow.training import tuning

PLAIN = yaml.safe_load("{precision: float32, compile: false, threads: 1, memory: stored, times: 1}")
CONFIGS = {model: resolved(model) for model in ("glow", "vae", "vaeglow")}  # compared
ALL = CONFIGS | {"vae_standard": resolved("vae_standard")}


def compare(data: Path, options: dict[str, Any], *models: str, seconds: float = 1e6) -> dict:
    configs = {model: CONFIGS[model] for model in models or CONFIGS}
    return tuning.compare(configs, PLAIN, options, time.monotonic() + seconds, data_dir=data, device="cpu")


def test_an_option_is_measured_beside_the_plain_settings_or_named_with_its_reason(blobs_dir, monkeypatch):
    monkeypatch.setitem(tuning.BOUNDS, "bf16", 1e-9)
    monkeypatch.setattr(tuning, "SECONDS", 0.01)
    options = {"bf16": PLAIN | {"precision": "bf16"}, "no thread": PLAIN | {"threads": 0}}
    trials = compare(blobs_dir, options, "vae")
    measured = {name: models["vae"] for name, models in trials.items()}
    assert list(measured) == ["plain", *options]
    assert "threads" in measured["no thread"]["why"]
    assert measured["plain"]["difference"] == 0
    assert 0 < measured["bf16"]["difference"] < 1e-2
    assert measured["bf16"]["why"].startswith("losses differ by")
    for name in ("plain", "bf16"):
        losses = measured[name]["losses"]
        assert len(losses) == tuning.STEPS
        assert np.shape(measured[name]["hours"]) == np.shape(measured[name]["beside"]) == (tuning.ROUNDS,)
        assert min(measured[name]["hours"]) > 0
    assert min(tuning.limits("cpu").values()) > 0
    late = tuning.trial(CONFIGS["vae"], PLAIN, until=time.monotonic(), data_dir=blobs_dir, device="cpu")
    with late as turn, user_error("not done"):
        turn()


LOSSES = yaml.safe_load("""
- [{}, [2.0, 4.0002], null]
- [{}, [2.0, 4.002], "losses differ by 5.0e-04 at first, by 5.0e-04 in all"]
- [{precision: bf16}, [2.05, 4.0], "losses differ by 2.5e-02 at first, by 2.5e-02 in all"]
- [{precision: bf16}, [2.03, 4.0], null]
- [{precision: bf16}, [.nan, 4.0], "losses differ by nan at first, by nan in all"]
- [{}, [2.0, 4.0, 2.0, 4.0, 2.01], null]  # rounding has grown by then
- [{}, [2.0, 4.0, 2.0, 4.0, 2.1], "losses differ by 0.0e+00 at first, by 5.0e-02 in all"]
- [{times: 2}, [3.0, 3.0], null]  # other images
- [{compile: true}, [], no compiler]
""")


@pytest.mark.parametrize("option, losses, why", LOSSES)
def test_one_bad_model_is_enough(option, losses, why, blobs_dir, monkeypatch):
    tried = PLAIN | {"option": 0} | option
    started = []

    @contextmanager
    def trial(config, option, until=1e99, **place):
        started.append((config["model"], option))
        if until < time.monotonic():
            raise UserError("late")
        shown = [2.0, 4.0, 2.0, 4.0, 2.0][: len(losses) or 2]
        if option is tried and config["model"] == "vae":
            shown = losses
        if not shown:
            raise RuntimeError("no compiler\nat all")
        window = {"steps": 2, "seconds": [3.6]}
        yield lambda: {"losses": shown, "batch_size": 16 * option["times"], "training": window}

    monkeypatch.setattr(tuning, "trial", trial)
    measured = compare(blobs_dir, {"it": tried})
    assert measured["it"]["vae"].get("why") == why
    assert (("vaeglow", tried) in started) == (why is None)  # after a failure it is not tried again
    assert measured["plain"]["glow"]["hours"] == pytest.approx(
        [2 * 4 * 1.8 / 3600] * tuning.ROUNDS
    )  # 2 epochs of 4 steps
    late = compare(blobs_dir, {"it": tried}, seconds=0)
    assert late["it"]["glow"]["why"] == "late"
    assert list(late["plain"]) == ["glow"]


def gaining(patch: pytest.MonkeyPatch, gains: dict[str, Any]) -> None:
    """`tune` finds these gains, of all models or by model, or why there is none; 1.0 of all others."""

    def measured(name: str, model: str) -> dict[str, Any]:
        gained = gains.get(name, 1.0)
        if isinstance(gained, dict):
            gained = gained.get(model, 1.0)
        if isinstance(gained, str):
            return {"why": gained}
        hours = 6 / (np.ones(3) * gained)
        facts = {"difference": 1e-3, "peak_memory_bytes": 2**30, "parameters": 2**18}
        return facts | {"beside": [6.0] * 3, "hours": hours.tolist()}

    def compare(configs, plain, options, end, **place):
        return {name: {model: measured(name, model) for model in configs} for name in ("plain", *options)}

    patch.setattr(tuning, "compare", compare)
    patch.setattr(tuning, "limits", lambda device: {"float32": 1.0, "bf16": 2.0, "copies": 100.0})


# Gains by rounds, the same in all where there is one number; cores, none on a GPU; what is chosen.
CHOICES = yaml.safe_load("""
- [{}, 1, plain]
- [{bf16: [1.8, 2.2, 2.0]}, 1, bf16]
- [{bf16: [0.99, 2.2, 2.0]}, 1, plain]  # not in every round
- [{bf16: [1.02, 1.03, 1.04]}, 1, plain]  # not worth other bits
- [{bf16: [1.8, 2.2, 2.0], "bf16, compiled": [1.9, 2.1, 2.3]}, 1, "bf16, compiled"]
- [{bf16: [1.8, 2.2, 2.0], "bf16, compiled": no compiler}, 1, bf16]
- [{bf16: {glow: 3.0, vae: 2.0, vaeglow: losses differ}}, 1, plain]  # all or none
- [{bf16: {glow: 2.0, vae: 0.9, vaeglow: 0.9}}, 1, bf16]  # all together gain
- [{2 threads: 1.4}, 2, plain]  # two cores train two models side by side, on one thread each
- [{2 threads: 1.9}, 4, 2 threads]  # three models, four cores
- [{2 threads: 1.9, bf16: 2.2}, 4, bf16]
- [{"bf16, compiled": 3.0, bf16: 1.5}, null, "bf16, compiled"]  # a GPU
""")


@pytest.mark.parametrize("gains, cores, chosen", CHOICES)
def test_the_fastest_valid_set_is_chosen_the_same_for_all_models(monkeypatch, gains, cores, chosen):
    gaining(monkeypatch, gains)
    measured = tuning.tune(CONFIGS, ALL, cores, "stored", 1.0, device="cpu" if cores else "cuda", data_dir=Path())
    trials = measured["trials"]
    assert measured["chosen"] == chosen
    assert list(trials["plain"]) == list(trials[chosen]) == list(ALL)
    assert trials.keys() >= {"bf16", "float32, compiled", f"{chosen}, checkpoint", f"{chosen}, double batch"}
    assert ("2 threads" in trials) == (cores in (2, 4))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_overlay_changes_all_models_and_the_report_says_why(device, tmp_path, blobs_dir, monkeypatch):
    gaining(monkeypatch, {"bf16": [1.8, 2.2, 2.0], "float32, compiled": {"glow": "no compiler"}})
    about = results.collect("cpu") | {"device": "NVIDIA H100 80GB (R)"}
    monkeypatch.setattr(results, "collect", lambda _: about)
    monkeypatch.setattr("vaeglow.device.pick_device", lambda _: torch.device(device))
    done = subprocess.CompletedProcess([], 1, "test_the_same_on_a_gpu FAILED", "")
    monkeypatch.setattr(step.subprocess, "run", lambda command, **_: done)
    options = flags(
        config=list(map(json.dumps, CONFIGS.values())),
        other=list(map(json.dumps, ALL.values())),
        data_dir=blobs_dir,
        device=device,
        memory="stored",
        threads=1,
        minutes=1,
        output=tmp_path / "report.md",
    )
    step.main(options)
    overlay = (tmp_path / "nvidia-h100-80gb-r.yaml").read_text()
    training = {"precision": "bf16", "compile": False, "threads": 1}
    assert yaml.safe_load(overlay) == {"overrides": {"training": training}}
    assert {view["training"]["precision"] for view in checked(overlay).values()} == {"bf16"}
    report = (tmp_path / "report.md").read_text()
    for words in ("bf16 is chosen", "2.00 [1.80, 2.20]", "no compiler", "float32 1, bf16 2, copies 100"):
        assert words in report
    assert re.search(
        r"\| vaeglow +\| 6 +\| 3 +\| 9 +\| 1024 [^#]*\| one after another +\| 24 +\| 12 +\| 36 +\|  ", report
    )
    assert report.rstrip().endswith("test_the_same_on_a_gpu FAILED\n```") == (device == "cuda")
