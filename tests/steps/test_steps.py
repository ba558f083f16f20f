"""The step scripts as commands: end to end, refusals in one line, failed writes."""

import ast
import errno
import os
import re
import shutil
from itertools import product
from pathlib import Path
from typing import Literal
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from refusals import user_error
from run_tools import Run, prepare, resolved, save_model
from waiting import ROOT, text_of

from vaeglow.errors import Interrupted, UserError
from vaeglow.files import atomic_path, write_json
from vaeglow.steps import cli, train
from vaeglow.training.checkpoint import Checkpoints, Position, pack
from vaeglow.weights import load_model


def assert_refused(run: Run, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Training ends with one line and status 2, and leaves nothing."""
    with pytest.raises(SystemExit, match=r"^2$"):
        cli.run(lambda: train.main(run.flags(10)))
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
    assert not run.model.exists() and not run.state.exists()


def test_data_that_do_not_fit_the_config(tmp_path, capfd):
    for data, message in {
        prepare(tmp_path / "a", size=16): "size 16, the run's config says 8",
        prepare(tmp_path / "b", name="others"): "name others, the run's config says blobs",
        tmp_path / "c": "does not exist",
    }.items():
        assert_refused(Run(tmp_path / "run", resolved("vae"), data), message, capfd)


def test_a_base_trained_otherwise_is_refused(tmp_path, blobs_dir, vae_run, glow_run, capfd):
    other_rate = Run(tmp_path / "rate", resolved("vae", learning_rate=0.003), blobs_dir).train()
    other_seed = Run(tmp_path / "seed", resolved("vae", seed=1), blobs_dir).train()
    other_data = Run(tmp_path / "data", resolved("vae"), prepare(tmp_path / "images", seed=70)).train()
    mixed = Run(tmp_path / "mixed", resolved("vae"), blobs_dir)
    shutil.copy(vae_run.model, mixed.model)
    shutil.copy(other_data.training, mixed.training)
    for base in (other_rate, other_seed, glow_run, other_data, mixed):
        message = {other_data: "was trained on other data", mixed: "weights_sha256 is"}
        run = Run(tmp_path / "run", resolved("vaeglow"), blobs_dir, base)
        assert_refused(run, message.get(base, "under another config than this run's base"), capfd)


def test_a_step_comes_last_in_its_module():
    """It runs where it is defined: what comes after it is not there yet."""
    for path in (ROOT / "vaeglow/steps").glob("[a-z]*.py"):
        *_, last = ast.parse(text_of(path)).body
        assert path.stem == "cli" or getattr(last, "name", "") == "main", path


def test_a_step_has_the_command_line_of_its_signature(capsys):
    found = {}

    @cli.step
    def main(
        kind: Literal["a", "b"], *, data_dir: Path, counts: list[int], some: list[float] = (), more: dict, stretch: bool
    ) -> None:
        """Do.

        Args:
            counts: how many
        """
        found.update(locals())

    words = ["b", "--data-dir", "x y", "--counts", "1", "2", "--more", '{"a": 1}']
    main(words)
    expected = {"kind": "b", "data_dir": Path("x y"), "counts": [1, 2], "some": (), "more": {"a": 1}, "stretch": False}
    assert {key: found[key] for key in expected} == expected
    main([*words, "--some", "--stretch"])
    assert (found["some"], found["stretch"]) == ([], True)
    assert re.search(r"--counts .*how many\n.*--some", main.parser.format_help(), re.DOTALL)
    for wrong, message in [
        (words[:3], "the following arguments are required: --counts, --more"),
        ([*words, "--stretc"], "unrecognized arguments: --stretc"),  # an abbreviation
        (["c", *words[1:]], "argument kind: invalid choice: 'c'"),
        ([*words[:-1], "[1]"], "argument --more: invalid json_object value: '[1]'"),
        ([*words, "--counts"], "argument --counts: expected at least one argument"),
    ]:
        with pytest.raises(SystemExit, match="2"):
            main(wrong)
        assert message in capsys.readouterr().err


ERRORS = [
    (UserError("mend this"), 2, "error: mend this\n"),
    (Interrupted("SIGTERM: state saved"), 75, "stopped: SIGTERM: state saved\n"),
    (KeyboardInterrupt(), 130, "stopped: run the same command again\n"),
    (MemoryError(), 2, "error: out of memory: lower training.batch_size"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), 2, "error: out of GPU memory: lower"),
    (RuntimeError("alloc_cpu.cpp:13]\nDefaultCPUAllocator: can't allocate memory"), 2, "error: out of memory"),
    (OSError(errno.ENOSPC, "No space left", "x.npz"), 2, "error: cannot write x.npz: the disk is full"),
    (PermissionError(errno.EACCES, "denied", "x.npz"), 2, "error: no permission to use x.npz: check the owner"),
]


@pytest.mark.parametrize(("error", "status", "message"), ERRORS)
def test_errors_become_a_line_and_a_status(error, status, message, capsys):
    with pytest.raises(SystemExit, match=f"^{status}$"):
        cli.run(Mock(side_effect=error))
    (line,) = capsys.readouterr().err.splitlines(keepends=True)
    assert line.startswith(message)


def test_our_own_mistakes_keep_their_traceback():
    for error in (KeyError("x"), OSError(errno.EBADF, "bad file"), RuntimeError("shapes do not fit in memory order")):
        with pytest.raises(type(error)):
            cli.run(Mock(side_effect=error))


@pytest.mark.faults
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_failed_write_leaves_the_old_file_and_no_temporary(number, tmp_path, vae_run, monkeypatch):
    """A full disk without a right to mount one (tests/faults/test_no_room.py): the system's own calls fail."""
    model, about = load_model(vae_run.model, "cpu")

    def arrays(path: Path) -> None:
        with atomic_path(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, images=np.zeros(9))

    def checkpoint(path: Path) -> None:
        optimizer = torch.optim.Adam(model.parameters())
        Checkpoints(path.parent, "0" * 64).save(1, Position(), pack(model, optimizer))

    def weights(path: Path) -> None:
        save_model(path, model, about["config"], {})

    def text(path: Path) -> None:
        write_json(path, {"a": 1})

    path = tmp_path / f"{'0' * 16}-000-0000000001.safetensors"
    for name, write in product(("fsync", "replace"), (weights, text, arrays, checkpoint)):
        path.write_text("old")
        with monkeypatch.context() as patch, user_error("cannot write .*0000000001.safetensors: "):
            patch.setattr(os, name, Mock(side_effect=OSError(number, os.strerror(number))))
            write(path)
        assert path.read_text() == "old" and [*tmp_path.iterdir()] == [path]
