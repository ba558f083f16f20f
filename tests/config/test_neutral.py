"""A key that is added when runs are there already: where its value is neutral they are, to the hash, what they were."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest
from refusals import user_error
from run_tools import checked, study_config
from waiting import ROOT

from vaeglow.config import merge, registry, resolve, schema, with_neutral
from vaeglow.config.keys import count
from vaeglow.files import read_csv, read_json
from vaeglow.models.kinds import vae
from vaeglow.paths import identity
from vaeglow.training.keys import TRAINING
from vaeglow.training.reference import settings

REGISTERED = study_config("registered")
STUDY = study_config("cpu")  # with preset paper
KEPT = sorted((ROOT / "study/runs").rglob("config.json"))[1:]  # the first is the whole config


@pytest.fixture
def added(monkeypatch) -> Iterator[None]:
    """A copy of the declarations with a key more for a VAE's network, and one for `training`."""
    keys = copy.deepcopy(vae.SCHEMA)
    keys["network"]["properties"]["heads"] = count("of attention", minimum=0, neutral=0)
    monkeypatch.setattr(vae, "SCHEMA", keys)
    monkeypatch.setitem(TRAINING, "averaged", count("epochs whose weights are averaged", neutral=1))
    cached = (checked, registry.neutral_values, schema.read_schema)
    for function in cached:
        function.cache_clear()
    yield
    for function in cached:
        function.cache_clear()


def resolved(kept: Path, **overrides: dict) -> dict:
    """The config of a kept run, as it is resolved today."""
    run = read_json(kept)
    study = REGISTERED if run["preset"] == "registered" else STUDY
    return resolve(merge(study, {"overrides": overrides}), **identity(run))


def with_both(heads: int, averaged: int) -> dict:
    return {"models": {"vae": {"network": {"heads": heads}}}, "training": {"averaged": averaged}}


@pytest.mark.parametrize("overrides", [{}, with_both(0, 1)], ids=["left out", "written"])
def test_no_kept_run_is_refused_and_every_curve_is_found(added, overrides):
    curves = {row["settings"] for row in read_csv(ROOT / "config/reference/cpu.csv")}
    assert len(KEPT) > 100
    for kept in KEPT:
        assert resolved(kept, **overrides) == read_json(kept)
    assert curves <= {settings(resolved(kept, **overrides)) for kept in KEPT}


def test_another_value_makes_another_run_and_every_value_is_found_where_a_model_is_built_and_trained(added):
    kept = next(path for path in KEPT if "/vaeglow/" in str(path))
    changed = resolved(kept, **with_both(2, 3))
    assert changed["base"]["network"]["heads"] == 2 and changed["training"]["averaged"] == 3
    usual = with_neutral(resolved(kept))
    assert usual["base"]["network"]["heads"] == 0
    assert usual["training"]["averaged"] == 1


def test_the_key_is_checked_as_all_others(added):
    with user_error(r"'models\.vae\.network\.heads': -1 is less than the minimum of 0"):
        checked("{overrides: {models: {vae: {network: {heads: -1}}}}}")


def test_the_command_config_says_that_a_value_is_neutral(added, run):
    lines = run("config", "vae", "--preset", "demo")
    for key in ("training.averaged: 1", "network.heads: 0"):
        (line,) = [line for line in lines if line.startswith(key)]
        assert line.endswith("  neutral: as if there were no such key")
