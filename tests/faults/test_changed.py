"""What a run was trained on changes under it: found by hash, said in one line, and never mixed into a result."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from faults_tools import fork, hold
from run_tools import Run, prepare, resolved, same_tensors

from vaeglow.errors import UserError
from vaeglow.files import write_json
from vaeglow.models.store import load_model, save_model

pytestmark = pytest.mark.faults


def another_config(run: Run) -> None:
    write_json(run.folder / "config.json", resolved(run.config["model"], epochs=10, learning_rate=0.003))


def other_data(run: Run) -> None:
    prepare(run.data, seed=50)


def base_retrained(run: Run) -> None:
    base = run.base
    model, about = load_model(base.model, "cpu")
    weights = model.state_dict()
    weights["decoder.last.bias"] += 0.25
    model.load_state_dict(weights)
    digest = save_model(base.model, model, about["config"], {"data": about["data"]})
    write_json(base.training, base.summary() | {"weights_sha256": digest})


CHANGES = {"config": another_config, "data": other_data, "base": base_retrained}


@pytest.mark.parametrize("what", CHANGES)
def test_changed_while_it_trains(what, vae_run, tmp_path, fault):
    """Its results would be newer than the change: Snakemake would take them for its fruit."""
    data = Path(shutil.copytree(vae_run.data, tmp_path / "data"))
    base = Run(tmp_path / "base", vae_run.config, data)
    for file in ("model", "training"):
        shutil.copy(getattr(vae_run, file), getattr(base, file))
    run = Run(tmp_path / "run", resolved("vaeglow", epochs=10), data, base)
    with fault(f"{what} changed under a trainer") as tried:
        child = fork(run, 0, hold, 2).held()
        CHANGES[what](run)
        child.send(signal.SIGCONT)
        assert child.wait() == 2
        (line,) = child.text("stderr").splitlines()
        assert f"the {what} of {run.model} changed while it was trained: nothing is written; run the same" in line
        assert not run.model.exists() and not run.training.exists()
        if what == "data":  # their base has to be trained again, too
            with pytest.raises(UserError, match="was trained on other data"):
                run.train()
        else:
            child = fork(run)
            assert child.wait() == 0
            assert "belongs to another config, data or base: starting anew" in child.text()
        tried.lost("nothing that still holds")


@pytest.mark.parametrize("what", ["config", "data", "base"])
def test_changed_while_it_is_stopped(what, vae_run, tmp_path, fault):
    data = Path(shutil.copytree(vae_run.data, tmp_path / "data"))
    base = Run(tmp_path / "base", vae_run.config, data)
    for file in ("model", "training"):
        shutil.copy(getattr(vae_run, file), getattr(base, file))
    run = Run(tmp_path / "run", resolved("vaeglow", epochs=10), data, base)
    fork(run, 0, hold, 2).held().kill()
    with fault(f"{what} changed while a run is stopped"):
        CHANGES[what](run)
        child = fork(run)
        if what == "data":
            assert child.wait() == 2 and "was trained on other data than" in child.text("stderr")
            return
        assert child.wait() == 0 and "resuming" not in child.text()
        assert "belongs to another config, data or base: starting anew" in child.text()
        now = Run(run.folder, read(run), run.data, run.base)
        fresh = Run(tmp_path / "fresh", now.config, now.data, now.base).train()
        assert same_tensors(now.weights(), fresh.weights()) and now.rows() == fresh.rows()


def read(run: Run) -> dict:
    from vaeglow.files import read_json

    return read_json(run.folder / "config.json")


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_array_changed_without_its_description(split, tmp_path, fault):
    data = prepare(tmp_path / "data")
    path = data / f"{split}.npy"
    changed = bytearray(path.read_bytes())
    changed[-1] ^= 1
    path.write_bytes(changed)
    with fault("prepared array changed on disk"):
        with pytest.raises(UserError, match="has changed since it was prepared"):
            Run(tmp_path / "run", resolved("vae"), data).train()
        assert not (tmp_path / "run/model.safetensors").exists()
