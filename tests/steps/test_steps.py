"""The step scripts as commands: end to end, refusals in one line, failed writes."""

import errno
import os
import re
import shutil
from pathlib import Path
from typing import Literal
from unittest.mock import Mock

import pytest
import torch
from refusals import user_error
from run_tools import Run, prepare, resolved, save_model

from vaeglow.errors import Interrupted, UserError
from vaeglow.files import write_json
from vaeglow.steps import cli
from vaeglow.training.checkpoint import Checkpoints, Position, pack
from vaeglow.weights import load_model


def refused(run: Run, message: str) -> None:
    """Training ends with one line and leaves nothing."""
    with user_error(message):
        run.train()
    assert not run.model.exists() and not run.state.exists()


def test_data_that_do_not_fit_the_config(tmp_path):
    for data, message in {
        prepare(tmp_path / "a", size=16): "size 16, the run's config says 8",
        prepare(tmp_path / "b", name="others"): "name others, the run's config says blobs",
        tmp_path / "c": "does not exist",
    }.items():
        refused(Run(tmp_path / "run", resolved("vae"), data), message)


def test_a_base_trained_otherwise_is_refused(tmp_path, blobs_dir, vae_run, glow_run):
    other_seed = Run(tmp_path / "seed", resolved("vae", seed=1), blobs_dir).train()
    other_data = Run(tmp_path / "data", resolved("vae"), prepare(tmp_path / "images", seed=70)).train()
    mixed = Run(tmp_path / "mixed", resolved("vae"), blobs_dir)
    shutil.copy(vae_run.model, mixed.model)
    shutil.copy(other_data.training, mixed.training)
    for base, message in (
        (other_seed, "under another config than this run's base"),
        (glow_run, "under another config than this run's base"),
        (other_data, "was trained on other data"),
        (mixed, "weights_sha256 is"),
    ):
        refused(Run(tmp_path / "run", resolved("vaeglow"), blobs_dir, base), message)


def test_a_step_has_the_command_line_of_its_signature(capsys):
    called = []

    @cli.step
    def main(kind: Literal["a", "b"], *, data_dir: Path, counts: list[int], some: list[float] = (), more: dict) -> None:
        """Do.

        Args:
            counts: how many
        """
        called.append((kind, data_dir, counts, some, more))

    words = ["b", "--data-dir", "x y", "--counts", "1", "2", "--more", '{"a": 1}']
    main(words)
    main([*words, "--some"])
    assert called == [("b", Path("x y"), [1, 2], (), {"a": 1}), ("b", Path("x y"), [1, 2], [], {"a": 1})]
    assert re.search(r"--counts .*how many\n.*--some", main.parser.format_help(), re.DOTALL)
    for wrong, message in [
        (words[:3], "the following arguments are required: --counts, --more"),
        ([*words, "--som"], "unrecognized arguments: --som"),  # an abbreviation
        (["c", *words[1:]], "argument kind: invalid choice: 'c'"),
        ([*words[:-1], "[1]"], "argument --more: invalid json_object value: '[1]'"),
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
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_temporary(number, call, tmp_path, vae_run, monkeypatch):
    """A full disk without a right to mount one (tests/faults/test_no_room.py): the system's own calls fail."""
    model, about = load_model(vae_run.model, "cpu")
    state = pack(model, torch.optim.Adam(model.parameters()))
    path = tmp_path / f"{'0' * 16}-000-0000000001.safetensors"
    path.write_text("old")
    monkeypatch.setattr(os, call, Mock(side_effect=OSError(number, os.strerror(number))))
    for write in (
        lambda: save_model(path, model, about["config"], {}),
        lambda: Checkpoints(tmp_path, "0" * 64).save(1, Position(), state),
        lambda: write_json(path, {"a": 1}),
    ):
        with user_error("cannot write .*0000000001.safetensors: "):
            write()
    assert path.read_text() == "old" and [*tmp_path.iterdir()] == [path]
