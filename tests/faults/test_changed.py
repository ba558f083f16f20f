"""What a run was trained on changes under it: found by hash, said in one line, and never mixed into a result."""

import shutil
import signal
from pathlib import Path

import pytest
from faults_tools import fork, hold
from run_tools import Run, assert_equal_runs, prepare, resolved, save_model

from vaeglow.errors import UserError
from vaeglow.files import read_json, write_json
from vaeglow.weights import load_model

pytestmark = pytest.mark.faults
RESTART = "belongs to another config, data or base: starting from scratch"


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
    for file in ("model", "training"):
        shutil.copy(getattr(vae_run, file), getattr(base, file))
    return Run(tmp_path / "run", resolved("vaeglow", epochs=10), data, base)


@pytest.mark.parametrize("what", ["config", "data", "base"])
@pytest.mark.parametrize("when", ["under a trainer", "while a run is stopped"])
def test_changed(when, what, run, tmp_path, fault):
    """Results of a run that went on would be newer than the change: Snakemake would take them for its fruit."""
    with fault(f"{what} changed {when}") as tried:
        child = fork(run, 0, hold, 2).held()
        change(what, run)
        if when == "under a trainer":
            child.send(signal.SIGCONT)
            assert child.wait() == 2
            (line,) = child.text("stderr").splitlines()
            assert f"the {what} of {run.model} changed while it was trained: nothing is written; run the same" in line
            assert not run.model.exists() and not run.training.exists()
            tried.lost("nothing that still holds")
        child.kill()
        child = fork(run)
        if what == "data":  # their base has to be trained again, too
            assert child.wait() == 2 and "was trained on other data than" in child.text("stderr")
            return
        assert child.wait() == 0 and RESTART in child.text() and "resuming at" not in child.text()
        run.config = read_json(run.folder / "config.json")
        fresh = Run(tmp_path / "fresh", run.config, run.data, run.base).train()
        assert_equal_runs(run, fresh)


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
