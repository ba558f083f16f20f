"""The logs of earlier attempts."""

import pytest
from faults_tools import fork
from run_tools import Run, resolved

from vaeglow.training.run import ATTEMPTS


@pytest.mark.parametrize("before", [1, 9, 11])
def test_the_last_ten_are_kept(before, vae_run, tmp_path):
    run = Run(tmp_path, resolved("vae"), vae_run.data)
    folder = run.state / "attempts"
    folder.mkdir(parents=True)
    for number in range(1, before + 1):
        (folder / f"{number}.log").touch()
    said = fork(run).ended()
    assert "epoch 2/2" in said and (folder / f"{before + 1}.log").read_text() == said
    first = max(1, before + 2 - ATTEMPTS)
    assert {path.name for path in folder.iterdir()} == {f"{number}.log" for number in range(first, before + 2)}
