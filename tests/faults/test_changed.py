"""What a run was trained on changes under it: found by hash, said in one line, and never mixed into a result."""

import os
import shutil
from pathlib import Path

import pytest
from faults_tools import fork, hold
from refusals import user_error
from run_tools import Run, assert_equal_runs, prepare, resolved, save_model, states

from vaeglow.files import read_json, write_json
from vaeglow.results import source_sha256
from vaeglow.training import checkpoint
from vaeglow.weights import load_model


def change(what: str, run: Run) -> None:
    """Change the run's config, its data, or its base, which is trained again to other weights."""
    if what == "config":
        write_json(run.folder / "config.json", resolved("vaeglow", epochs=10, learning_rate=0.003))
    elif what == "data":
        prepare(run.data, seed=50)
    else:
        model, about = load_model(run.base.model, "cpu")
        model.decoder.last.bias.data += 0.25
        digest = save_model(run.base.model, model, about["config"], {"data": about["data"]})
        write_json(run.base.training, run.base.summary() | {"weights_sha256": digest})


@pytest.fixture
def run(vae_run, tmp_path) -> Run:
    """A run with data and a base of its own."""
    data = Path(shutil.copytree(vae_run.data, tmp_path / "data"))
    base = Run(tmp_path / "base", vae_run.config, data)
    shutil.copy(vae_run.model, base.model)
    shutil.copy(vae_run.training, base.training)
    return Run(tmp_path / "run", resolved("vaeglow", epochs=10), data, base)


@pytest.mark.faults("{what} changed {when}")
@pytest.mark.parametrize("what", ["config", "data", "base"])
@pytest.mark.parametrize("when", ["under a trainer", "while a run is stopped"])
def test_changed(when, what, run, tmp_path, lost):
    """Results of a run that went on would be newer than the change: Snakemake would take them for its fruit."""
    child = fork(run, 0, hold, 2).held()
    change(what, run)
    if when == "under a trainer":
        changed = f"the {what} of {run.model} changed while it was trained: nothing is written; run the same"
        assert changed in child.go_on().refused()
        assert not run.model.exists()
        assert not run.training.exists()
        lost("nothing that still holds")
    else:
        child.kill()
    again = fork(run)
    if what == "data":  # their base has to be trained again, too
        assert "was trained on other data than" in again.refused()
        return
    assert "belongs to another config, data or base: starting from scratch" in again.ended()
    run.config = read_json(run.folder / "config.json")
    assert_equal_runs(run, Run(tmp_path / "fresh", run.config, run.data, run.base).train())


@pytest.mark.faults
def test_a_state_that_other_code_wrote_is_taken_up_and_said(stopped, vae_run, monkeypatch, capfd):
    name = states(stopped)[0].name
    monkeypatch.setattr(checkpoint, "source_sha256", lambda: "another")
    stopped.train()
    line = f"other code wrote {name} ({source_sha256()}); resuming with this code\n"
    assert line in capfd.readouterr().out
    assert_equal_runs(stopped, vae_run)


@pytest.mark.faults("prepared array changed on disk")
@pytest.mark.parametrize("split", ["train", "val"])
def test_an_array_changed_without_its_description(split, run):
    with open(run.data / f"{split}.npy", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    with user_error("has changed since it was prepared"):
        run.base.train()
