"""The logs of earlier attempts."""

from __future__ import annotations

from faults_tools import fork
from run_tools import Run, resolved

from vaeglow.training.attempts import KEPT


def test_the_last_ten_are_kept(vae_run, tmp_path):
    run = Run(tmp_path, resolved("vae"), vae_run.data)
    folder = run.state / "attempts"
    folder.mkdir(parents=True)
    for number in range(1, 12):
        (folder / f"{number}.log").touch()
    child = fork(run)
    assert child.wait() == 0
    assert sorted(int(path.stem) for path in folder.iterdir()) == list(range(12 - KEPT + 1, 13))
    assert (folder / "12.log").read_text() == child.text() and "epoch 2/2" in child.text()
