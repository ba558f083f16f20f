"""`vaeglow config`: the values are those that `resolve` gives, and the named line has the key and the value."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from run_tools import shipped_config
from waiting import ROOT, Row

from vaeglow.config import merge, resolve
from vaeglow.config.origins import flat
from vaeglow.paths import IDENTITY

RUNS = [
    ("beyond", "cpu", "fashion_mnist"),
    ("vae_two_stage", "short", "celeba64"),
    ("glow_paper_schedule", "paper", "cifar10"),
]
OVERLAY = """
models:
  mine:
    like: &parent vaeglow
    training: &rates
      gradient_clip: 0.25
      betas: [0.5,
              0.75]
  other: {like: *parent, training: {<<: *rates, compile: true}}
overrides: {datasets: {photos32: {train_subset: null}}}
"""


def printed(lines: list[str]) -> dict[str, tuple[str, str]]:
    """The value of each key, as text, and its place."""
    assert max(map(len, lines)) <= 120
    pairs = {}
    for line in "\n".join(lines).replace("\n  ", " ").splitlines():
        key, value, place = re.fullmatch(
            r"(\S+): (.*?) +(\S+:\d.*|neutral: .*|no file: .*|of this command)", line
        ).groups()
        pairs[key] = value, place
    return pairs


def assert_placed(pairs: dict[str, tuple[str, str]], resolved: Row) -> None:
    """Each pair is a value of the run, and its place says so."""
    wanted = flat(resolved)
    assert {key: yaml.safe_load(value) for key, (value, _) in pairs.items()} == wanted
    for key, (_, place) in pairs.items():
        match = re.match(r"(\S+):(\d+)(?: |$)", place)
        if match is None:
            assert place == ("of this command" if key.split(".")[-1] in IDENTITY else "no file: the default")
            continue
        line = Path(match[1]).read_text().splitlines()[int(match[2]) - 1]
        words = map(yaml.safe_load, re.findall(r"[^\s{}\[\],]+", line))
        shown = re.search(rf"(?<![\w.]){re.escape(str(wanted[key]))}(?![\w.])", line)
        assert shown or wanted[key] in words, (key, place)


@pytest.mark.parametrize(("model", "preset", "dataset"), RUNS)
def test_each_value_is_the_runs_and_stands_where_it_says(model, preset, dataset, run):
    lines = run("config", model, "--preset", preset, "--dataset", dataset, "--seed", 2)
    assert_placed(printed(lines), resolve(shipped_config(), preset, dataset, model, 2))


def test_overlays_and_the_folders_own_config_set_values_too(run):
    Path("overlay.yaml").write_text(OVERLAY)
    Path("config").mkdir()
    shutil.copy(ROOT / "config/presets.yaml", "config")
    pairs = printed(run("config", "other", "--preset", "demo", "--configfile", "overlay.yaml"))
    values = {key: yaml.safe_load(value) for key, (value, _) in pairs.items()}
    changed = merge(shipped_config(), yaml.safe_load(OVERLAY))
    assert values == flat(resolve(changed, "demo", "photos32", "other", 0))
    for key, place in {
        "training.gradient_clip": "overlay.yaml:6 (models.other)",
        "training.betas": "overlay.yaml:7 (models.other)",
        "training.compile": "overlay.yaml:9 (models.other)",
        "training.batch_size": "config/presets.yaml:5 (presets.demo)",
        "data.train_subset": "overlay.yaml:10 (overrides.datasets.photos32)",
    }.items():
        assert pairs[key][1] == place


def test_what_is_not_there_is_one_line(fails):
    Path("list.yaml").write_text("- vae")
    for says, words in {
        "unknown model 'vea' .did you mean 'vae'": ("vea",),
        "unknown preset 'dem' .did you mean 'demo'": ("vae", "--preset", "dem"),
        "unknown dataset 'cifar' .did you mean 'cifar10'": ("vae", "--dataset", "cifar"),
        "nowhere.yaml is not a file: correct the path": ("vae", "--configfile", "nowhere.yaml"),
        "list.yaml: its top level must be `key: value`, not a list": ("vae", "--configfile", "list.yaml"),
    }.items():
        fails(says, "config", *words)
