"""Every kind of claim on made-up evidence, both ways; and that it reads what it says it needs, no more and no less."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claims_tools import change, claim, spec, timed_model, write_world

from vaeglow.errors import UserError
from vaeglow.reporting.claims.evidence import Evidence
from vaeglow.reporting.claims.ledger import build_ledger
from vaeglow.reporting.claims.measures import speed
from vaeglow.reporting.claims.needs import needed
from vaeglow.reporting.claims.registry import KINDS
from vaeglow.reporting.claims.statistics import Measured, interval
from vaeglow.reporting.claims.verdict import FAILS, HOLDS, UNDECIDED

NEAR, FAR = {"model": "near", "temperature": 0.5}, {"model": "far", "temperature": 1.0}
LEVELS = {"near": 0.5, "far": 1.2}
EVEN, JUMP = [[1.0, 1.2, 0.9, 1.0]] * 5, [[0.1, 4.0, 0.1, 0.1]] * 5


def by_model(need, seed):
    return LEVELS.get(need["model"], 0.0)


def by_temperature(need, seed):  # 0.5 is best
    return 0.1 if need.get("temperature") == 0.5 else 1.0


def gains(need, seed):  # only `near` gains by a lower temperature
    return 0.2 if need["model"] == "near" and need.get("temperature") == 0.5 else 1.2


def spreads(need, seed):  # (shift, scale): `far` loses most of its spread at the lower temperature
    return 0.0, 0.05 if need["model"] == "far" and need.get("temperature") == 0.5 else 1.0


def learning(need, seed):
    """`near` is better from 10 s on, `far` trained longer."""
    return [(1.0, 2.0), (10.0, 0.5)] if need["model"] == "near" else [(9.0, 1.0), (20.0, 0.1)]


PAIR = {"temperatures": [1.0, 0.5]}
# world, an entry that holds in it, and what makes of it one that does not
CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "kid": (by_model, {"better": NEAR, "worse": FAR, "factor": 1.0}, {"better": FAR, "worse": NEAR}),
    "kid-factor": (by_model, {"better": FAR, "worse": NEAR, "factor": 99}, {"factor": 0.01}),
    "kid_same": (
        by_model,
        {"one": FAR, "other": FAR | {"temperature": 0.5}, "margin": 0.9},
        {"one": NEAR, "margin": 0.4},
    ),
    "kid_best": (
        by_temperature,
        {"model": "m", "temperature": 0.5, "others": [0.0, 1.0]},
        {"temperature": 1.0, "others": [0.5]},
    ),
    "kid_gain": (gains, {"more": "near", "less": "far", **PAIR}, {"more": "far", "less": "near"}),
    "kept-diversity": (
        spreads,
        {"measure": "diversity", "more": "near", "less": "far", **PAIR},
        {"more": "far", "less": "near"},
    ),
    "kept-recall": (
        spreads,
        {"measure": "recall", "more": "near", "less": "far", **PAIR},
        {"more": "far", "less": "near"},
    ),
    "quality_time": (learning, {"ours": [NEAR], "theirs": [FAR]}, {"ours": [FAR], "theirs": [NEAR]}),
    "bits": (by_model, {"better": "near", "worse": "far"}, {"better": "far", "worse": "near"}),
    "bits-reference": (
        by_model,
        {"better": "near", "worse": "far", "reference_model": "v"},
        {"better": "far", "worse": "near"},
    ),
    "bits-behind": (by_model, {"better": "far", "worse": "near", "threshold": -2.0}, {"threshold": -0.5}),
    "speed": (
        by_model,
        {"slow": ["far"], "fast": ["near", "far"], "networks": "demo", "threshold": 1.3},
        {"threshold": 1.6},
    ),
    "noise": ((0.4, -0.4), {"model": "far"}, {}),
    "information": (
        by_model,
        {"higher": "far", "lower": "near", "value": "variance_explained"},
        {"higher": "near", "lower": "far"},
    ),
    "information-entropy": (
        by_model,
        {"higher": "far", "lower": "near", "value": "entropy_image_bits_per_dim"},
        {"threshold": 2.0},
    ),
    "layer-sharpness": ((0.5, -0.5), {"model": "m", "value": "sharpness"}, {}),
    "layer-content": ((0.95, 0.1), {"model": "m", "value": "content", "threshold": 0.5}, {}),
    "smooth": ((EVEN, JUMP), {"model": "m", "space": "prior", "threshold": 0.5}, {}),
}


def case(name: str, holds: bool) -> tuple[dict[str, Any], Any]:
    """The entry and the world of one case; where there is a pair of worlds, the entry is the same in both."""
    world, entry, change = CASES[name]
    if isinstance(world, tuple):
        value = world[0 if holds else 1]
        return claim(name.split("-")[0], **entry), lambda need, seed: value
    return claim(name.split("-")[0], **entry | ({} if holds else change)), world


def ledger(root: Path, entry: dict[str, Any], seeds: list[int]) -> dict[str, str]:
    return build_ledger(spec({"it": entry}, seeds), str(root)).iloc[0].to_dict()


def test_every_kind_has_a_case():
    assert {name.split("-")[0] for name in CASES} == set(KINDS)


@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_each_kind_tells_what_holds_from_what_does_not(tmp_path, name, holds):
    entry, world = case(name, holds)
    seeds = [0, 1, 2] if name.startswith("information") else [0]  # no images to resample: seeds alone
    paths = write_world(tmp_path / "results", entry, lambda need, seed: jitter(world(need, seed), seed), seeds)
    row = ledger(tmp_path / "results", entry, seeds)
    assert row["verdict"] == (HOLDS if holds else FAILS)
    assert float(row["low"]) <= float(row["effect"]) <= float(row["high"])
    assert row["interval"] and row["unit"] and row["scale"] and row["note"]
    assert set(row["evidence"].split("; ")) == {str(path) for path in paths}
    assert all(Path(path).is_file() for path in row["evidence"].split("; "))


@pytest.mark.parametrize("name", CASES)
def test_three_seeds_give_a_t_interval_for_every_kind_that_has_seeds(tmp_path, name):
    entry, world = case(name, True)
    write_world(tmp_path / "results", entry, lambda need, seed: jitter(world(need, seed), seed), [0, 1, 2])
    row = ledger(tmp_path / "results", entry, [0, 1, 2])
    assert row["verdict"] == HOLDS
    assert row["interval"] == ("t over rounds of timed windows" if name == "speed" else "t over 3 seeds")
    assert row["seeds"] == ("" if name == "speed" else "0 1 2")


def jitter(value: Any, seed: int) -> Any:
    """A little apart from seed to seed."""
    return value + 0.001 * seed if isinstance(value, float) else value


@pytest.mark.parametrize("name", CASES)
def test_a_claim_reads_all_that_it_needs_and_a_missing_file_is_one_line_that_names_it(tmp_path, name):
    entry, world = case(name, True)
    paths = write_world(tmp_path / "results", entry, world, [0])
    for path in paths:
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(UserError) as error:
            ledger(tmp_path / "results", entry, [0])
        message = str(error.value)
        assert message.startswith("claim it: ") and str(path) in message and "\n" not in message
        path.write_bytes(content)
    ledger(tmp_path / "results", entry, [0])


@pytest.mark.parametrize("name", CASES)
def test_evidence_of_another_dataset_model_or_training_is_refused(tmp_path, name):
    entry, world = case(name, True)
    paths = write_world(tmp_path / "results", entry, world, [0])
    for path in paths:
        if path.name == "likelihood.npz":  # bare arrays, held against likelihood.json
            continue
        content = path.read_bytes()
        foreign = {"dataset": "others"}
        if path.parent.name != "fid_reference" and path.name != "timing.json":  # of no model, of several
            foreign |= {"model": "another"}
        for key, value in foreign.items():
            change(path, **{key: value})
            with pytest.raises(UserError, match=key):
                ledger(tmp_path / "results", entry, [0])
            path.write_bytes(content)
    for key in ("weights_sha256", "data_sha256", "inception_sha256", "reference_sha256"):
        holders = [
            path for path in paths if path.suffix != ".npz" or "features" in path.parts or "metrics" in path.parts
        ]
        holders = [path for path in holders if key.encode() in path.read_bytes()]
        if len({path.parent for path in holders}) < len(holders):  # two files on one run
            content = holders[-1].read_bytes()
            change(holders[-1], **{key: "other"})
            with pytest.raises(UserError, match=f"differ in {key}"):
                ledger(tmp_path / "results", entry, [0])
            holders[-1].write_bytes(content)


@pytest.mark.parametrize("name", ["kid", "bits", "information", "quality_time"])
def test_a_claim_about_training_is_undecided_with_one_seed(tmp_path, name):
    entry, world = case(name, True)
    write_world(tmp_path / "results", entry, world, [0])
    row = ledger(tmp_path / "results", entry | {"training": True}, [0])
    shown = "no interval, so nothing" if name == "information" else "'holds'"
    assert row["verdict"] == UNDECIDED
    assert (
        row["note"].startswith("One seed, and a claim about training needs 3") and f"would give {shown}." in row["note"]
    )


def test_one_best_temperature_must_beat_each_other_one(tmp_path):
    entry = claim("kid_best", model="m", temperature=0.5, others=[0.0, 0.75])
    levels = {0.0: 2.0, 0.5: 1.0, 0.75: 0.1}
    write_world(tmp_path / "results", entry, lambda need, seed: levels.get(need.get("temperature"), 0.0), [0])
    assert ledger(tmp_path / "results", entry, [0])["verdict"] == FAILS


def test_a_recall_of_zero_has_no_share_to_compare(tmp_path):
    entry = claim("kept", measure="recall", more="near", less="far", temperatures=[1.0, 0.5])
    write_world(tmp_path / "results", entry, lambda need, seed: 9.0, [0])  # far from every real image
    row = ledger(tmp_path / "results", entry, [0])
    assert (row["effect"], row["low"], row["high"], row["verdict"]) == ("", "-inf", "inf", UNDECIDED)


def test_quality_is_compared_at_the_longest_time_that_both_trained(tmp_path):
    entry = claim("quality_time", ours=[{"model": "vae", "temperature": 0.0}, NEAR], theirs=[FAR])
    worlds = {
        "vae": [(2.0, 5.0), (4.0, 4.0)],
        "near": [(6.0, 3.0), (8.0, 1.0)],
        "far": [(3.0, 2.0), (7.0, 1.5)],  # ends at 7 s: ours is at its snapshot of 6 s then
    }
    write_world(tmp_path / "results", entry, lambda need, seed: worlds[need["model"]], [0])
    row = ledger(tmp_path / "results", entry, [0])
    assert float(row["effect"]) == pytest.approx(1.5 - 3.0) and row["verdict"] == FAILS
    worlds["vae"] = worlds["near"] = [(8.0, 1.0)]  # nothing yet at 7 s
    write_world(tmp_path / "results", entry, lambda need, seed: worlds[need["model"]], [0])
    row = ledger(tmp_path / "results", entry, [0])
    assert row["verdict"] == UNDECIDED and "had no snapshot" in row["note"]


def test_quality_at_a_time_before_our_last_phase_is_no_comparison(tmp_path):
    entry = claim("quality_time", ours=[{"model": "vae", "temperature": 0.0}, NEAR], theirs=[FAR])
    worlds = {"vae": [(2.0, 0.5), (4.0, 0.1)], "near": [(8.0, 0.2)], "far": [(3.0, 2.0), (7.0, 1.5)]}
    write_world(tmp_path / "results", entry, lambda need, seed: worlds[need["model"]], [0])
    row = ledger(tmp_path / "results", entry, [0])
    assert row["effect"] == "" and row["verdict"] == UNDECIDED and "no snapshot of its last phase" in row["note"]


def test_a_layer_that_is_no_sharper_than_its_own_noise_does_not_sharpen(tmp_path):
    entry = claim("layer", model="m", value="sharpness")
    (path,) = write_world(tmp_path / "results", entry, lambda need, seed: 0.5, [0])
    images = json.loads(path.read_text())["per_image"]
    assert ledger(tmp_path / "results", entry, [0])["verdict"] == HOLDS
    images["spectrum_error_vae_noisy"] = [0.1] * len(images["spectrum_error_vae_noisy"])
    change(path, per_image=images)
    assert ledger(tmp_path / "results", entry, [0])["verdict"] == FAILS


def test_isotropic_noise_has_no_map_to_judge(tmp_path):
    entry = claim("noise", model="m")
    write_world(tmp_path / "results", entry, lambda need, seed: None, [0])
    with pytest.raises(UserError, match="isotropic"):
        ledger(tmp_path / "results", entry, [0])


def test_bits_of_other_images_or_of_another_evaluation_are_refused(tmp_path):
    entry = claim("bits", better="near", worse="far")
    paths = write_world(tmp_path / "results", entry, by_model, [0])
    summary = next(path for path in paths if path.name == "likelihood.json")
    change(summary, bits_per_dim=9.0)
    with pytest.raises(UserError, match="is not what"):
        ledger(tmp_path / "results", entry, [0])


@pytest.mark.parametrize(
    ("mine", "theirs", "words"), [("<=", "=", "larger"), ("=", "<=", "smaller"), ("<=", "<=", "both")]
)
def test_upper_bounds_are_said_to_be_such(tmp_path, mine, theirs, words):
    entry = claim("bits", better="near", worse="far")
    for path in write_world(tmp_path / "results", entry, by_model, [0]):
        if path.name == "likelihood.json":
            change(path, bound=mine if "near" in path.parts else theirs)
    assert words in ledger(tmp_path / "results", entry, [0])["note"].lower()


def write_rounds(root: Path, rounds: np.ndarray, kind: str = "cuda", cpu: np.ndarray | None = None) -> None:
    """timing.json of the models of `RACE`, by seconds of each round: [rounds, 3]."""
    cpu = rounds if cpu is None else cpu
    models = {m: timed_model(*map(list, pair)) for m, *pair in zip(RACE, rounds.T, cpu.T, strict=True)}
    content = {"preset": "demo", "dataset": "toys", "data_sha256": "d", "models": models, "rounds": len(rounds)}
    (root / "demo/toys").mkdir(parents=True, exist_ok=True)
    machine = {"device": "It", "device_kind": kind, "threads": 1, "epoch_images": 100}
    (root / "demo/toys/timing.json").write_text(json.dumps(content | machine))


RACE = ("slow", "one", "other")
QUIET = np.tile([4.0, 1.0, 1.5], (8, 1))  # a ratio of 3.2
SPEED = claim("speed", slow=["slow"], fast=["one", "other"], networks="demo")


@pytest.mark.parametrize("factor", [1.5, 2.0, 6.0])
@pytest.mark.parametrize("longest", [1, 3, 6, 24])
def test_beside_a_load_that_comes_and_goes_the_interval_holds_the_quiet_ratio_or_says_nothing(
    tmp_path, factor, longest
):
    """Windows in a row are `factor` times as slow while there is a load, for 1 to `longest` of them."""
    missed, tries = 0, 40
    for seed in range(tries):
        random = np.random.default_rng(seed)
        lengths = random.integers(1, longest + 1, QUIET.size)
        loaded = np.repeat(np.arange(QUIET.size) % 2, lengths)[: QUIET.size].reshape(QUIET.shape)
        write_rounds(tmp_path, QUIET * factor**loaded * np.exp(0.01 * random.normal(size=QUIET.shape)))
        found = interval([speed(Evidence(tmp_path, "demo"), SPEED, 0)])
        missed += not found.low <= 3.2 <= found.high
    assert missed <= 0.1 * tries  # a 95% interval misses some


def test_a_load_of_whole_rounds_changes_no_ratio(tmp_path):
    random = np.random.default_rng(0)
    quiet = QUIET * np.exp(0.01 * random.normal(size=QUIET.shape))
    loaded = quiet * np.where(np.arange(8) % 3 == 1, 2, 1)[:, None]
    numbers = []
    for rounds in (quiet, loaded):
        write_rounds(tmp_path, rounds)
        found = interval([speed(Evidence(tmp_path, "demo"), SPEED, 0)])
        numbers.append([found.effect, found.low, found.high])
    assert numbers[0] == pytest.approx(numbers[1]) and found.high < 1.05 * found.low


def test_rounds_or_clocks_that_disagree_decide_nothing(tmp_path):
    uneven, slowed = QUIET.copy(), QUIET.copy()
    uneven[2, 0] *= 1.6
    slowed[:, 0] *= 1.6  # a load beside the same model in every round
    for rounds, cpu, words in ((QUIET, uneven, "ratios of rounds"), (slowed, QUIET, "median ratio")):
        write_rounds(tmp_path, rounds, "cpu", cpu)
        row = ledger(tmp_path, SPEED | {"threshold": 1.0}, [0])
        assert row["verdict"] == UNDECIDED and words in row["note"] and row["interval"] == "none: rounds disagree"
    write_rounds(tmp_path, uneven, "cpu", QUIET)  # seconds on the clock alone are noisy on a busy CPU
    assert ledger(tmp_path, SPEED | {"threshold": 3.0}, [0])["verdict"] == HOLDS


def test_timings_are_of_the_preset_named(tmp_path):
    entry, _ = case("speed", True)
    assert {need["preset"] for need in needed(entry | {"networks": "paper"})} == {"paper"}


def test_models_are_resampled_apart_but_the_real_images_alike(tmp_path):
    """A model against itself at another temperature, with the same features: no difference, and none in any draw."""
    from vaeglow.reporting.claims import quality

    one, other = {"model": "m", "temperature": 0.5}, {"model": "m", "temperature": 1.0}
    entry = claim("kid", better=one, worse=other, factor=1.0)
    paths = write_world(tmp_path / "results", entry, lambda need, seed: 0.3, [0])
    files = [path for path in paths if path.suffix == ".npz" and "metrics" in path.parts]
    files[1].write_bytes(files[0].read_bytes())
    change(files[1], temperature=1.0)
    found: Measured = quality.kid(Evidence(tmp_path / "results", "demo"), entry, 0)
    assert abs(found.effects).max() < 1e-12 and abs(found.draws).max() < 1e-12
