"""What a training prints reaches the log at once."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from run_tools import ROOT
from waiting import LIMIT, until

from vaeglow.errors import UserError
from vaeglow.training.progress import Progress, open_tensorboard

ROW = {
    "epoch": 1,
    "bits_per_dim": 3.5,
    "val_bits_per_dim": None,
    "learning_rate": 0.001,
    "images_per_second": 10.0,
    "seconds": 2.0,
    "skipped_steps": 0,
}


def test_an_epochs_line_is_in_the_log_before_the_process_ends(tmp_path):
    script = f"""
import sys
from vaeglow.training.progress import Progress
Progress("vae", 3, 10, 0, None).epoch_done({ROW!r})
sys.stdin.read()
"""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    log = tmp_path / "log"
    with open(log, "w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=file, env=environment
        )
    try:
        until(log.read_text, lambda: process.poll() is None)
        assert process.poll() is None, "the process has ended"
        assert log.read_text().startswith("epoch 1/3  3.5000 bits/dim  lr 1.00e-03")
    finally:
        process.communicate(b"", timeout=LIMIT)
    assert process.returncode == 0


def test_a_line_says_what_was_skipped_and_validated(capsys):
    progress = Progress("vae", 3, 10, 0, None)
    progress.epoch_done(ROW | {"val_bits_per_dim": 3.25, "skipped_steps": 2})
    line = capsys.readouterr().out
    assert "val 3.2500" in line and line.endswith("(2 bad steps skipped)\n")


def test_a_missing_tensorboard_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[tensorboard\]'"):
        open_tensorboard(tmp_path)
