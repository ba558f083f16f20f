"""Every kind of claim on made-up evidence, both ways, and that it reads what it says it needs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from claims_tools import REAL, claim, features, ledger, write_world
from numpy import ndarray
from pytest import approx
from refusals import user_error
from table_tools import change

from vaeglow.config.registry import kinds_of
from vaeglow.evaluation import bootstrap
from vaeglow.evaluation.bootstrap import DRAWS, resample, sample_draws
from vaeglow.reporting.claims import SEEDLESS
from vaeglow.reporting.claims.statistics import FAILS, HOLDS, UNDECIDED
from vaeglow.results import read_result

NEAR = {"model": "near", "temperature": 0.5}
FAR = {"model": "far", "temperature": 1.0}
LEVELS = {"near": 0.5, "far": 1.2}


# What a file shows, by its need and its seed.


def models(need, seed):
    return LEVELS.get(need["model"], 0.0) + 0.001 * seed


def copied(need, seed):
    """As `models`, but test images that are near copies of training images say the opposite."""
    level = models(need, seed)
    if need["what"] != "likelihood_images":
        return level
    bits = np.full(50, level)
    bits[:25] = -level
    return bits


def temperatures(need, seed):
    """0.5 is best, 0.0 is worst."""
    return {0.5: 0.1, 0.0: 3.0}.get(need.get("temperature"), 1.0) + 0.001 * seed


def gains(need, seed):
    """Only `near` gains by a lower temperature."""
    return (0.2 if (need["model"], need.get("temperature")) == ("near", 0.5) else 1.2) + 0.001 * seed


def spreads(need, seed):
    """(Shift, scale): `far` loses most of its spread at the lower temperature."""
    return (0.0, 0.05 if (need["model"], need.get("temperature")) == ("far", 0.5) else 1.0)


def distances(need, seed):
    if need["what"] != "metrics":
        return None
    level = LEVELS[need["model"]]
    return {"fid": level + 0.001 * seed, "kid": level / 9}


def learning(need, seed):
    """`near` is better from 10 s on, `far` trained longer."""
    return [(1.0, 2.0), (10.0, 0.5)] if need["model"] == "near" else [(9.0, 1.0), (20.0, 0.1)]


WORLDS = {world.__name__: world for world in (models, copied, temperatures, gains, spreads, distances, learning)}
# World (or what all files show, where it holds and where not), an entry, and what makes of it one that does not hold.
CASES = yaml.safe_load("""
kid:
- models
- {better: &near {model: near, temperature: 0.5}, worse: &far {model: far, temperature: 1.0}}
- {better: *far, worse: *near}
kid-factor: [models, {better: *far, worse: *near, factor: 99}, {factor: 0.01}]
kid_same: [models, {one: *far, other: {model: far, temperature: 0.5}, margin: 0.9}, {one: *near, margin: 0.4}]
kid_best: [temperatures, {model: m, temperature: 0.5, others: [0.0, 1.0]}, {temperature: 1.0, others: [0.5, 0.0]}]
kid_gain: [gains, {more: near, less: far, temperatures: [1.0, 0.5]}, {more: far, less: near}]
kept-diversity: [spreads, &more {measure: diversity, more: near, less: far, temperatures: [1.0, 0.5]},
  {more: far, less: near}]
kept-recall: [spreads, {<<: *more, measure: recall}, {more: far, less: near}]
quality_time: [learning, {ours: [*near], theirs: [*far]}, {ours: [*far], theirs: [*near]}]
bits: [models, {better: near, worse: far}, {better: far, worse: near}]
bits_apart: [copied, {better: near, worse: far, apart: 0.5}, {better: far, worse: near}]
bits-behind: [models, {better: far, worse: near, threshold: -2.0}, {threshold: -0.5}]
fid_and_kid: [distances, {better: *near, worse: *far}, {better: *far, worse: *near}]
fid_and_kid-of_each:
- distances
- {better: *far, worse: *near, measures: [kid], better_kid: *near, worse_kid: *far}
- {better_kid: *far, worse_kid: *near}
fid_reached: [models, {better: *near, value: 13.0}, {value: 12.0}]
bits_reached: [models, {better: near, value: 0.4, threshold: -0.2}, {value: 0.2}]
speed: [models, {slow: [far], fast: [near, far], networks: demo, threshold: 1.3}, {threshold: 1.6}]
size: [models, {better: near, worse: far, networks: demo, threshold: 1.3}, {threshold: 3.0}]
noise: [[0.4, -0.4], {model: far, value: error_correlations}, {}]
noise-border: [[0.4, -0.4], {model: far, value: border_contrasts}, {}]
information: [models, {higher: far, lower: near, value: decoder_information_upper_nats}, {higher: near, lower: far}]
information-entropy: [models, {higher: far, lower: near, value: entropy_image_bits_per_dim}, {threshold: 2.0}]
layer-sharpness: [[0.5, -0.5], {model: m, value: sharpness}, {}]
layer-content: [[0.95, 0.1], {model: m, value: content}, {}]
layer-draws: [[0.9, 0.2], {model: m, value: draws, threshold: 0.5}, {}]
detail: [models, {better: far, worse: near}, {better: near, worse: far}]
smooth:
- - &even [[1.0, 1.2, 0.9, 1.0], [1.0, 1.2, 0.9, 1.0], [1.0, 1.2, 0.9, 1.0], [1.0, 1.2, 0.9, 1.0]]
  - &jump [[0.1, 4.0, 0.1, 0.1], [0.1, 4.0, 0.1, 0.1], [0.1, 4.0, 0.1, 0.1], [0.1, 4.0, 0.1, 0.1]]
- {model: m, space: prior, threshold: 0.5}
- {}
""")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "results"


def case(name: str, holds: bool = True) -> tuple[dict[str, Any], Any]:
    """The entry and the world of one case."""
    world, entry, change = CASES[name]
    if not holds:
        entry = entry | change
    entry = claim(name.split("-")[0], **entry)
    if isinstance(world, str):
        return entry, WORLDS[world]
    shown = world[0 if holds else 1]
    return entry, lambda need, seed: shown


def row_of(root: Path, entry: dict[str, Any], world: Any) -> dict[str, str]:
    """The ledger's row of a claim in a world, of one seed."""
    write_world(root, entry, world, [0])
    return ledger(root, entry, [0])


def test_every_kind_has_a_case():
    assert {name.split("-")[0] for name in CASES} == set(kinds_of("claims"))


@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_each_kind_tells_what_holds_from_what_does_not(root, name, holds):
    entry, world = case(name, holds)
    of_runs = ("information", "fid_and_kid", "fid_reached", "bits_reached")  # no images to resample: seeds alone
    seeds = [0, 1, 2] if entry["kind"] in of_runs or not holds else [0]
    paths = write_world(root, entry, world, seeds)
    row = ledger(root, entry, seeds)
    assert row["verdict"] == (HOLDS if holds else FAILS)
    assert float(row["low"]) <= float(row["effect"]) <= float(row["high"])
    assert row["unit"] and "{" not in row["note"]
    assert row["seeds"] == ("" if name in SEEDLESS else " ".join(map(str, seeds)))
    assert set(row["evidence"].split("; ")) == {str(path) for path in paths}
    effects = [float(effect) for effect in row["effects"].split()]
    assert len(effects) == (1 if name in SEEDLESS else len(seeds))
    assert np.mean(effects) == approx(float(row["effect"]), rel=1e-2)


@pytest.mark.parametrize("name", ["kid", "bits", "speed"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: change(path, dataset="others")])
def test_evidence_that_is_missing_or_of_something_else_is_one_line_that_names_it(root, name, damage):
    entry, world = case(name)
    for path in write_world(root, entry, world, [0]):
        content = path.read_bytes()
        damage(path)
        with user_error(rf"{path}.*(does not exist|dataset)"):
            ledger(root, entry, [0])
        path.write_bytes(content)


FOREIGN = yaml.safe_load("""
- [kid, near/seed0/metrics/test-60-8/T0.5.npz, {weights_sha256: other}, weights_sha256]
- [kept-recall, far/seed0/metrics/test-60-8/T1.0.npz, &other {inputs: {resources/weights/i: other}}, weights/i]
- [quality_time, near/seed0/snapshots/test-60-8/T0.5.json, *other, weights/i]
- [bits, far/seed0/likelihood.json, {data_sha256: other}, data_sha256]
""")


@pytest.mark.parametrize("name, file, values, key", FOREIGN)
def test_files_made_from_different_data_weights_or_references_are_refused(root, name, file, values, key):
    entry, world = case(name)
    write_world(root, entry, world, [0])
    change(root / "demo/toys" / file, **values)
    with user_error(f"differ in .*{key}"):
        ledger(root, entry, [0])


def test_where_no_samples_beat_a_gaussian_of_the_pixels_nothing_is_judged(root):
    entry, world = case("kid")
    seeds = [0, 1, 2]
    write_world(root, entry, world, seeds)
    change(root / "demo/toys/floor/test-60-8.json", kid=0.4)  # the metrics of both are at .5
    row = ledger(root, entry, seeds)
    assert row["verdict"] == UNDECIDED
    assert row["note"].startswith("No samples beat a Gaussian fitted to the training pixels by KID")
    assert row["p"] == ""
    change(root / "demo/toys/near/seed0/metrics/test-60-8/T0.5.json", kid=0.1)  # the best of the samples is enough
    row = ledger(root, entry, seeds)
    assert not row["note"].startswith("No samples")
    assert float(row["p"]) < 0.05


def test_near_copies_of_training_images_do_not_count(root):
    row = row_of(root, *case("bits_apart"))
    assert float(row["effect"]) == approx(LEVELS["far"] - LEVELS["near"], abs=0.02)
    assert row["scale"] == "25 test images, paired"


def test_the_interval_of_four_images_reaches_from_the_least_to_the_greatest(root):
    entry, _ = case("noise")
    row = row_of(root, entry, lambda need, seed: {"error_correlations": [0.1, 0.2, 0.3, 0.6]})
    assert (row["effect"], row["low"], row["high"]) == ("0.3", "0.1", "0.6")


@pytest.mark.parametrize(
    "near, far, shown",
    [
        (0.0, 0.0, ("", "-inf", "inf")),
        (0.03, 0.5, ("", "-inf", "inf")),
        (0.5, 0.03, ("", "-inf", "inf")),
        (0.05, 0.05, ("0", "0", "0")),
    ],
)
def test_a_recall_below_a_twentieth_has_no_share_to_compare(root, near, far, shown):
    recalls = {"near": near, "far": far}

    def world(need, seed):
        return {"recall": np.full(1 + DRAWS, recalls[need["model"]])} if need["what"] == "draws" else None

    entry, _ = case("kept-recall")
    row = row_of(root, entry, world)
    assert (row["effect"], row["low"], row["high"]) == shown
    assert row["verdict"] == UNDECIDED


def equal_time(root: Path, first: int, near: list) -> dict[str, str]:
    """The row of a claim at equal time: `near` after so many epochs of a VAE."""
    entry = claim("quality_time", ours=[{"model": "vae", "temperature": 0.0}, NEAR], theirs=[FAR])
    worlds = {"vae": [(4.0, 4.0)], "near": near, "far": [(3.0, 2.0), (7.0, 1.5)]}
    write_world(root, entry, lambda need, seed: worlds[need["model"]], [0])
    base = {"model": "vae", "base": None, "training": {"epochs": first}}
    change(root / "demo/toys/near/seed0/config.json", base=base, training={"epochs": 4})
    return ledger(root, entry, [0])


def test_quality_is_compared_at_the_longest_time_that_both_trained(root):
    row = equal_time(root, 4, [(2.0, 3.0), (4.0, 1.0)])  # at the last 7 s: between 6 and 8 s
    assert float(row["effect"]) == approx(1.5 - 2.0)
    margin = 1.96 * np.hypot(0.01, 0.01)  # by the standard error of either KID
    assert float(row["low"]) == approx(-0.5 - margin, abs=0.003)
    assert float(row["high"]) == approx(-0.5 + margin, abs=0.003)
    assert row["verdict"] == FAILS
    assert "CPU seconds 7" in row["note"]


@pytest.mark.parametrize("near", [[(4.0, 0.2)], [(2.0, 3.0), (4.0, None)]])
def test_before_the_last_phase_or_where_samples_overflowed_there_is_nothing_to_compare(root, near):
    row = equal_time(root, 4, near)
    assert row["effect"] == ""
    assert row["verdict"] == UNDECIDED
    assert "no snapshot of its last phase" in row["note"]


def test_a_layer_that_is_no_sharper_than_its_own_noise_does_not_sharpen(root):
    entry, world = case("layer-sharpness")
    write_world(root, entry, world, [0])
    path = root / "demo/toys/m/seed0/layer_action.json"
    images = read_result(path).content["per_image"]
    change(path, per_image=images | {"spectrum_error_vae_noisy": [0.1] * len(images["content_kept"])})
    assert ledger(root, entry, [0])["verdict"] == FAILS


@pytest.mark.parametrize(
    "mine, theirs, words",
    [
        ("<=", "=", "larger"),
        ("=", "<=", "smaller"),
        ("<=", "<=", "both"),
        ("=", "=", ""),
    ],
)
def test_upper_bounds_are_said_to_be_such(root, mine, theirs, words):
    entry, world = case("bits")
    write_world(root, entry, world, [0])
    for model, bound in (("near", mine), ("far", theirs)):
        change(root / f"demo/toys/{model}/seed0/likelihood.json", bound=bound)
    note = ledger(root, entry, [0])["note"].lower()
    assert words in note
    assert bool(words) == ("upper bound" in note)


def quantities(x: ndarray, mine: ndarray, real: ndarray) -> dict[str, float]:
    """Of features and weights, copy by copy; pairs of copies of one image are no pairs."""
    samples = np.repeat(np.arange(60), mine)
    reals = np.repeat(np.arange(60), real)

    def pairs(values: ndarray, held: ndarray) -> float:
        return values[np.ix_(held, held)][held[:, None] != held].mean()

    def kernel(y: ndarray, z: ndarray) -> ndarray:
        return (y @ z.T / 8 + 1) ** 3

    apart = np.sqrt(((x[:, None] - x) ** 2).sum(2))
    near = np.sqrt(((x[:, None] - REAL.astype(float)) ** 2).sum(2))
    cross = kernel(x, REAL)[np.ix_(samples, reals)].mean()
    return {
        "kid": pairs(kernel(x, x), samples) + pairs(kernel(REAL, REAL), reals) - 2 * cross,
        "diversity": pairs(apart, samples),
        "recall": (near <= np.sort(apart)[:, [3]]).any(0)[reals].mean(),
    }


def test_effects_are_those_of_features_directly(root):
    """The first draws of each quantity, and the ledger's effect of two KIDs."""
    place = ("toys", "test-60-8")
    x = features(0.5, np.random.default_rng(0))
    own = resample(60, *place, "near", 0).astype(int)
    real = resample(60, *place, "reference").astype(int)
    draws = sample_draws(x, REAL, (*place, "near", 0))
    for draw in range(4):
        expected = {quantity: values[draw] for quantity, values in draws.items()}
        assert quantities(x.astype(float), own[draw], real[draw]) == approx(expected, rel=1e-5), draw
    row = row_of(root, *case("kid"))
    paths = ("near/seed0/metrics/test-60-8/T0.5.npz", "far/seed0/metrics/test-60-8/T1.0.npz")
    near, far = (read_result(root / "demo/toys" / path, None).arrays["kid"][0] for path in paths)
    assert float(row["effect"]) == approx(far - near, rel=1e-3)


def test_of_large_sets_the_first_samples_and_real_images_from_all_over_count(monkeypatch):
    monkeypatch.setattr(bootstrap, "LIMIT", 10)
    run = ("toys", "test-60-8", "near", 0)
    x = features(0.5, np.random.default_rng(0))
    few = sample_draws(x[:10], REAL[::6], run)
    for quantity, values in sample_draws(x, REAL, run).items():
        assert values == approx(few[quantity], rel=1e-5), quantity
