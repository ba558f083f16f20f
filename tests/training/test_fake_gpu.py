"""Training steps on a GPU that has no values (`fake_gpu`): devices, waiting, and where reduced precision applies."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from run_tools import ROOT
from waiting import call

MODELS = ("vae", "vaeglow", "vaeglow_joint", "vae_two_stage", "glow")
SCRIPT = ROOT / "tests/training/fake_gpu.py"
WRONG = """
import sys, torch, fake_gpu
from vaeglow.models import prior
fake_gpu.make_gpu()
for density in sys.argv[1:]:
    prior.standard_normal_log_density = lambda z: eval(density)
    try:
        print(fake_gpu.second_step("vae")["host"])
    except RuntimeError as error:
        print(error)
"""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{SCRIPT.parent}", "OMP_NUM_THREADS": "1"}
    return call([sys.executable, *words], env=environment)


def steps(*runs: dict[str, Any]) -> list[dict[str, Any]]:
    done = run(str(SCRIPT), json.dumps(runs))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_step_stays_on_the_gpu_and_reduces_precision_in_the_networks_only():
    """Adam waits for nothing, Adamax for one verdict; TF32 acts where bf16 does, forward and backward."""
    options = [{}, {"precision": "bf16"}, {"precision": "tf32"}, {"precision": "tf32", "memory": "checkpoint"}]
    runs = [{"model": model, **option} for model in MODELS for option in options]
    adam, *found = steps({"model": "glow", "optimizer": "adam"}, *runs)
    assert adam["host"] == []
    found = iter(found)
    for model in MODELS:
        plain, bf16, tf32, checkpoint = (next(found) for _ in options)
        for step in (plain, bf16, tf32, checkpoint):
            assert step["places"] == ["fakegpu"]
            assert set(step["sampling"]["host"]) <= {"inverse"}  # torch.linalg.inv looks whether a matrix has one
            assert step["sampling"]["fast"] == []
            assert step["host"] == ["read"] * (model == "glow"), model
        assert plain["fast"] == [] and plain["exact"]
        assert tf32 == bf16 and bool(tf32["fast"]) == (model != "vae_two_stage")  # that trains no such network
        assert len(tf32["fast"]) + len(tf32["exact"]) == len(plain["exact"])
        recomputed = len(checkpoint["fast"]) - len(tf32["fast"])
        assert (recomputed > 0) == (model in ("vaeglow", "vaeglow_joint", "glow"))


def test_this_finds_a_tensor_left_behind_and_a_value_read():
    wrong = ["torch.zeros(len(z))", "z.sum().item()", "torch.zeros(len(z)).to(z.device)"]
    left, read, copied = run("-c", WRONG, *(f"z.sum(1) + {one}" for one in wrong)).stdout.splitlines()
    assert "two devices, fakegpu:0 and cpu" in left
    assert (read, copied) == ("['read']", "['copy']")
