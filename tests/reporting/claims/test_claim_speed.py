"""The claim of speed on made-up timings: load on the machine, rounds that disagree, several timings."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from claims_tools import MADE, claim, ledger, timed_model, write_timing
from scipy.stats import ttest_1samp
from table_tools import change

from vaeglow.reporting.claims.statistics import HOLDS, UNDECIDED
from vaeglow.results import read_result

RACE = ("slow", "one", "other")
QUIET = np.tile([4.0, 1.0, 1.5], (8, 1))  # a ratio of 3.2
SPEED = claim("speed", slow=["slow"], fast=["one", "other"], networks="demo")


def race(root: Path, rounds: np.ndarray, kind: str = "cuda", cpu: np.ndarray | None = None, **keys) -> dict[str, str]:
    """The ledger's row on seconds of each round, [rounds, 3]."""
    cpu = rounds if cpu is None else cpu
    models = {name: timed_model(rounds[:, k].tolist(), cpu[:, k].tolist()) for k, name in enumerate(RACE)}
    write_timing(root / "demo/toys/timing.json", models, kind)
    return ledger(root, SPEED | keys, [0])


@pytest.mark.parametrize("longest", [1, 24])
def test_beside_a_load_that_comes_and_goes_the_interval_holds_the_quiet_ratio_or_says_nothing(tmp_path, longest):
    """Windows in a row are six times as slow while there is a load, for 1 to `longest` of them."""
    missed = 0
    tries = 20
    for seed in range(tries):
        random = np.random.default_rng(seed)
        lengths = random.integers(1, longest + 1, QUIET.size)
        loaded = np.repeat(np.arange(QUIET.size) % 2, lengths)[: QUIET.size].reshape(QUIET.shape)
        row = race(tmp_path, QUIET * 6.0**loaded * np.exp(0.01 * random.normal(size=QUIET.shape)))
        missed += not float(row["low"]) <= 3.2 <= float(row["high"])
    assert missed <= 0.1 * tries  # a 95% interval misses some


def test_rounds_that_disagree_widen_the_interval_and_the_note_says_so_in_numbers(tmp_path):
    uneven = QUIET.copy()
    uneven[2:, 0] *= 1.6
    row = race(tmp_path, QUIET, "cpu", uneven, threshold=3.2)
    assert row["verdict"] == HOLDS
    assert "rounds from 3.2 to 5.12" in row["note"]
    assert row["interval"] == "t over 8 rounds of one timing"
    # seconds on the clock alone are noisy on a busy CPU
    row = race(tmp_path, uneven, "cpu", QUIET)
    assert row["low"] == row["high"] == "3.2"


def timing_of(path: Path, ratio: float, **keys) -> None:
    """A timing of eight equal rounds, which began when its file is named after."""
    models = {name: timed_model([second] * 8) for name, second in zip(RACE, (ratio, 0.5, 1.5), strict=True)}
    write_timing(path, models)
    change(path, provenance=MADE | {"started": path.stem}, **keys)


def test_every_timing_of_the_same_networks_counts_whatever_it_says(tmp_path):
    kept = tmp_path / "demo/toys/timings"
    latest = tmp_path / "demo/toys/timing.json"
    for start, ratio in (("a", 2.0), ("b", 3.0), ("c", 6.0), ("e", 99.0)):
        timing_of(kept / f"{start}.json", ratio)
    timing_of(kept / "d.json", 99.0, threads=2)
    models = read_result(kept / "e.json").content["models"]
    change(kept / "e.json", models=models | {"slow": models["slow"] | {"config_sha256": "other"}})
    shutil.copy(kept / "c.json", latest)  # counts once
    row = ledger(tmp_path, SPEED | {"threshold": 2.0}, [0])
    logs = np.log([2, 3, 6])
    assert float(row["effect"]) == pytest.approx(np.exp(logs.mean()), rel=1e-3)
    ends = np.log([float(row["low"]), float(row["high"])])
    assert ends == pytest.approx([*ttest_1samp(logs, 0).confidence_interval()], abs=0.02)
    assert row["verdict"] == UNDECIDED
    assert row["interval"] == "t over 3 timings"
    assert all(f"Timing of {words}" in row["note"] for words in ("a: 2, ", "d does not count", "e does not count"))
    assert row["evidence"].split("; ") == [*map(str, sorted(kept.iterdir())), str(latest)]
