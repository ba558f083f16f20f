"""A training says when it leaves what earlier runs with its settings had; what ships is of the shipped config."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from refusals import user_error
from run_tools import Run, resolved, shipped_config, study_config

from tools.reference import write
from vaeglow.config import resolve
from vaeglow.files import read_csv, write_json
from vaeglow.training import reference


def save(run: Path, config: dict, bits: Sequence[float]) -> None:
    write_json(run / "config.json", config)
    pd.DataFrame({"epoch": range(1, len(bits) + 1), "bits_per_dim": bits}).to_csv(run / "history.csv", index=False)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A reference of three runs of the tiny VAE, one of them of long training, too, which is too few."""
    runs = tmp_path / "results/tiny/blobs"
    for seed, bits in enumerate([(7.0, 6.0), (7.1, 6.0), (7.2, 6.03)]):  # after two epochs
        save(runs / f"vae/seed{seed}", resolved("vae", seed), bits)
    save(runs / "long/seed0", resolved("vae", epochs=40), range(40))
    unlikely = runs / "quantiles/seed0"
    save(unlikely, resolved("vae"), (7.0, 6.0))
    history = unlikely / "history.csv"
    history.write_text(history.read_text().replace("bits_per_dim", "quantile_loss"))
    write("tiny", [tmp_path / "results"], tmp_path / "reference")
    monkeypatch.setattr(reference, "FOLDER", tmp_path / "reference")
    return tmp_path / "reference"


def test_the_band_is_of_at_least_three_seeds(folder):
    rows = pd.read_csv(folder / "tiny.csv", usecols=["fraction", "bits_per_dim", "band", "runs"], dtype=str)
    assert set(rows.agg(" ".join, axis=1)) == {"0.5 7.100 0.300 3", "1.0 6.010 0.060 3"}
    for seed in range(3):  # with three seeds of the longer runs: only tenths
        save(folder / f"long/tiny/blobs/vae/seed{seed}", resolved("vae", seed, epochs=40), range(40))
    write("tiny", [folder / "long"], folder)
    assert [row["fraction"] for row in read_csv(folder / "tiny.csv")] == [f"{k / 10}" for k in range(1, 11)]
    with user_error("no runs of preset other"):
        write("other", [folder], folder)


@pytest.mark.parametrize("epoch, bits, outside", [(1, 7.39, False), (1, 6.7, True), (2, 6.08, True)])
def test_only_what_leaves_the_band_is_said(folder, epoch, bits, outside):
    assert bool(reference.note(resolved("vae", seed=9), epoch, bits)) == outside
    assert not reference.note(resolved("vae", learning_rate=0.1), epoch, 99.0)  # other settings: no reference
    assert not reference.note({**resolved("vae"), "preset": "my"}, epoch, 99.0)
    assert not reference.note(resolved("vaeglow_joint"), epoch, 99.0)  # whose base has no training


def test_the_log_of_a_run_that_leaves_it_says_so_once_at_each_point(folder, blobs_dir, tmp_path, capsys):
    Run(tmp_path / "run", resolved("vae"), blobs_dir).train()
    pattern = r"^note: \S+ bits/dim at (\S+) of the run, outside the reference, (\S+) \+- (\S+) \("
    notes = re.findall(pattern, capsys.readouterr().out, re.M)
    assert notes == [("50%", "7.100", "0.300"), ("100%", "6.010", "0.060")]


@pytest.mark.parametrize("preset, config_of", [("demo", shipped_config), ("cpu", lambda: study_config("cpu"))])
def test_the_shipped_reference_is_of_the_shipped_config(preset, config_of):
    """Else: run the demo with three seeds, or `make study`, then `python -m tools.reference PRESET results`."""
    rows = read_csv(reference.FOLDER / f"{preset}.csv")
    assert {row["model"] for row in rows} >= {"vae", "vaeglow", "vaeglow_as_written"}
    shipped = config_of()
    for row in rows:
        config = resolve(shipped, preset, row["dataset"], row["model"], 7)
        config["training"]["snapshots"] = []  # they change no loss
        assert row["settings"] == reference.settings(config), row["model"]
        assert reference.note(config, config["training"]["epochs"], 99.0)
