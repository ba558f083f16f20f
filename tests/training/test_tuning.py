"""`make tune`: what is measured, what is left out, which settings are chosen, the overlay and the report."""

import json
import re
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from run_tools import checked, flags, resolved

from vaeglow import results
from vaeglow.steps import tune as step
from vaeglow.training import tuning

PLAIN = yaml.safe_load("{precision: float32, compile: false, threads: 1}")
CONFIGS = {model: resolved(model) for model in ("glow", "vae", "vaeglow")}


def compare(data: Path, options: dict[str, Any], *models: str, seconds: float = 1e6, device: str = "cpu") -> dict:
    configs = {model: CONFIGS[model] for model in models or CONFIGS}
    place = {"data_dir": data, "device": device, "memory": "stored"}
    return tuning.compare(configs, PLAIN, options, time.monotonic() + seconds, place)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_an_option_is_measured_beside_the_plain_settings_or_named_with_its_reason(device, blobs_dir, monkeypatch):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    monkeypatch.setitem(tuning.BOUNDS, "bf16", 1e-9)
    monkeypatch.setattr(tuning, "SECONDS", 0.01)
    options = {"bf16": PLAIN | {"precision": "bf16"}, "no thread": PLAIN | {"threads": 0}}
    if device == "cuda":
        options["compiled"] = PLAIN | {"compile": True}
    trials = compare(blobs_dir, options, "vae", device=device)
    found = {name: models["vae"] for name, models in trials.items()}
    assert list(found) == ["plain", *options]
    assert device == "cpu" or "why" not in found["compiled"]
    assert found["bf16"]["why"].startswith("losses differ by")
    for measured in (found["plain"], found["bf16"]):
        assert len(measured["hours"]) == len(measured["beside"]) == tuning.ROUNDS
        assert min(*measured["hours"], *measured["beside"]) > 0
    assert list(found["no thread"]) == ["why"]
    assert "threads" in found["no thread"]["why"]
    late = compare(blobs_dir, {"bf16": options["bf16"]}, "vae", seconds=0, device=device)
    assert "not done" in late["bf16"]["vae"]["why"]


LOSSES = yaml.safe_load("""
- [{}, [2.0, 4.0002], null]
- [{}, [2.0, 4.002], "losses differ by 5.0e-04 at first, by 5.0e-04 in all"]
- [{precision: bf16}, [2.05, 4.0], "losses differ by 2.5e-02 at first, by 2.5e-02 in all"]
- [{precision: bf16}, [2.03, 4.0], null]
- [{precision: bf16}, [.nan, 4.0], "losses differ by nan at first, by nan in all"]
- [{}, [2.0, 4.0, 2.0, 4.0, 2.01], null]  # rounding has grown by then
- [{}, [2.0, 4.0, 2.0, 4.0, 2.1], "losses differ by 0.0e+00 at first, by 5.0e-02 in all"]
- [{compile: true}, [], no compiler]
""")


@pytest.mark.parametrize("option, losses, why", LOSSES)
def test_one_bad_model_is_enough(option, losses, why, blobs_dir, monkeypatch):
    @contextmanager
    def trial(config, option, place, until=1e99):
        wrong = option != PLAIN and config["model"] == "vae"
        if wrong and not losses:
            raise RuntimeError("no compiler\nat all")
        shown = losses if wrong else [2.0, 4.0, 2.0, 4.0, 2.0][: len(losses) or 2]
        window = {"steps": 2, "seconds": [3.6]}
        yield lambda: {"losses": shown, "batch_size": 16, "training": window}

    monkeypatch.setattr(tuning, "trial", trial)
    tried = PLAIN | {"option": 0} | option
    found = compare(blobs_dir, {"it": tried})
    assert found["it"]["vae"].get("why") == why
    assert found["plain"]["glow"]["hours"] == pytest.approx([2 * 4 * 1.8 / 3600] * tuning.ROUNDS)  # 2 epochs of 4 steps


def gaining(patch: pytest.MonkeyPatch, gains: dict[str, Any]) -> None:
    """`tune` finds these gains, of all models or by model, or why there is none; 1.0 of all others."""

    def trials(name: str, configs: Any) -> dict[str, Any]:
        models = {}
        for model in configs:
            gained = gains.get(name, 1.0)
            if isinstance(gained, dict):
                gained = gained.get(model, 1.0)
            if isinstance(gained, str):
                return models | {model: {"why": gained}}
            models[model] = {"beside": [6.0] * 3, "hours": 6 / np.ones(3) / gained}
        return models

    def compare(configs, plain, options, end, place):
        return {name: trials(name, configs) for name in ("plain", *options)}

    patch.setattr(tuning, "compare", compare)


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
    found = tuning.tune(CONFIGS, cores, 1.0, {"device": "cpu" if cores else "cuda"})
    trials = found["trials"]
    assert found["chosen"] == chosen
    assert found["options"][chosen]["threads"] == (2 if cores == 4 else 1)
    assert {"bf16", "float32, compiled", "bf16, compiled"} <= set(trials)
    assert ("2 threads" in trials) == (cores in (2, 4))


def test_the_overlay_changes_all_models_and_the_report_says_why(tmp_path, blobs_dir, monkeypatch):
    gaining(monkeypatch, {"bf16": [1.8, 2.2, 2.0], "float32, compiled": {"glow": "no compiler"}})
    about = results.collect("cpu") | {"device": "NVIDIA H100 80GB (R)"}
    monkeypatch.setattr(results, "collect", lambda _: about)
    options = {
        "data_dir": blobs_dir,
        "device": "cpu",
        "memory": "stored",
        "threads": 1,
        "minutes": 1,
    }
    options["config"] = list(map(json.dumps, CONFIGS.values()))
    step.main(flags(**options, output=tmp_path / "report.md"))
    overlay = yaml.safe_load((tmp_path / "nvidia-h100-80gb-r.yaml").read_text())
    assert overlay == {
        "overrides": {
            "training": {
                "precision": "bf16",
                "compile": False,
                "threads": 1,
            }
        }
    }
    assert {view["training"]["precision"] for view in checked(yaml.safe_dump(overlay)).values()} == {"bf16"}
    report = (tmp_path / "report.md").read_text()
    for words in ("bf16 is chosen", "2.00 [1.80, 2.20]", "no compiler"):
        assert words in report
    assert re.search(r"\| vaeglow +\| 6 +\| 3 ", report)


def test_a_fine_tuned_model_waits_for_its_vae_and_its_layer():
    vae = {"model": "vae", "base": None, "training": {}}
    layer = {"model": "layer", "base": vae, "training": {}}
    configs = {
        "vae": vae,
        "layer": layer,
        "fine_tuned": {
            "model": "fine_tuned",
            "base": layer,
            "training": {},
        },
    }
    assert tuning.whole(
        configs,
        {
            "vae": [1.0],
            "layer": [2.0],
            "fine_tuned": [4.0],
        },
        4,
    ).tolist() == [7.0]
    assert tuning.whole({"layer": layer}, {"layer": [2.0]}, 1).tolist() == [2.0]
