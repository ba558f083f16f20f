"""The logs of earlier attempts."""

import pytest
from faults_tools import fork
from run_tools import Run

from vaeglow.training.run import ATTEMPTS


@pytest.mark.parametrize("before", [1, 11])
def test_the_last_ten_are_kept(before, vae_run, tmp_path):
    run = Run(tmp_path, vae_run.config, vae_run.data)
    folder = run.state / "attempts"
    folder.mkdir(parents=True)
    for number in range(before):
        (folder / f"{number}.log").touch()
    output = fork(run).ended()
    assert "epoch 2/2" in output
    assert (folder / f"{before}.log").read_text() == output
    first = max(0, before + 1 - ATTEMPTS)
    assert {path.name for path in folder.iterdir()} == {f"{number}.log" for number in range(first, before + 1)}
