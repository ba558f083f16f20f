"""What a training prints: an epoch's line in its log, on the terminal a line now and then."""

import os
import sys
from contextlib import suppress
from types import SimpleNamespace

import pytest

from vaeglow.errors import UserError
from vaeglow.training import progress
from vaeglow.training.progress import Progress

ROW = {"epoch": 1, "bits_per_dim": 3.5, "val_bits_per_dim": None, "learning_rate": 0.001}
ROW |= {"images_per_second": 10.0, "seconds": 2.0, "skipped_steps": 0}


def config(epochs: int) -> dict:
    return {"model": "vae", "dataset": "mine", "seed": 3, "training": {"epochs": epochs}}


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that stands until it is set."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(progress.time, "monotonic", lambda: now.seconds)
    return now


def test_the_terminal_hears_now_and_then_what_is_left(clock, monkeypatch):
    reader, writer = os.pipe()
    monkeypatch.setenv(progress.TERMINAL, str(writer))
    shown = Progress(config(10), 50, 100, None, True)
    for second in range(1, 101):  # 2 images a second, 100 of 500 seen before
        clock.seconds += 1
        shown.advance(100 + 2 * second, 2, 3.456)
    lines = os.read(reader, 10**6).decode().splitlines()
    assert lines[0] == "vae on mine, seed 3: epoch 3/10, 3.46 bits/dim, 0:03:15 left"
    assert len(lines) == 1 + 95 // 15
    shown.advance(100, 0, 3.456)  # after a rollback
    assert shown.left() == "0:03:20"
    shown.epoch_done(ROW | {"epoch": 10, "seconds": 250.0})
    assert os.read(reader, 10**6).decode().endswith("vae on mine, seed 3: all epochs done, 3.50 bits/dim, 0:04:10\n")
    Progress(config(10), 50, 0, None, False).tell("what another process says")
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    shown.tell("a terminal that takes nothing stops no training")
    assert b"process" not in os.read(reader, 10**6)
    os.close(reader)
    shown.tell("a pipe that nobody reads")
    os.close(writer)
    shown.tell("a closed descriptor")


def test_without_snakemake_and_terminal_only_epochs_are_printed(clock, monkeypatch, capfd):
    monkeypatch.delenv(progress.TERMINAL, raising=False)
    shown = Progress(config(3), 10, 0, None, True)
    clock.seconds += 1000
    shown.advance(5, 0, 3.5)
    assert capfd.readouterr() == ("", "")
    shown.epoch_done(ROW | {"val_bits_per_dim": 3.25, "skipped_steps": 2})
    start = "epoch 1/3  3.5000 bits/dim  val 3.2500  lr 1.00e-03  10.0 img/s  2 s in all"
    assert capfd.readouterr().out == f"{start}  1:23:20 left  (2 bad steps skipped)\n"


def test_a_missing_tensorboard_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[tensorboard\]'"):
        Progress(config(3), 10, 0, tmp_path, True)
