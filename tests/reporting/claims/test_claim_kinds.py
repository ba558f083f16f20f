"""Every kind of claim on made-up evidence, both ways, that it reads what it says it needs; the files of the ledger."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from claims_tools import MADE, REAL, claim, features, ledger, spec, timed_model, write_timing, write_world
from run_tools import run_step
from scipy.stats import ttest_1samp
from table_tools import change, spec_file

from vaeglow.data.seeds import stable_hash
from vaeglow.errors import UserError
from vaeglow.evaluation.bootstrap import resample
from vaeglow.files import read_csv
from vaeglow.reporting.claims import KINDS
from vaeglow.reporting.claims.ledger import COLUMNS, build_ledger, to_markdown
from vaeglow.reporting.claims.statistics import FAILS, HOLDS, SEEDLESS, UNDECIDED
from vaeglow.results import read_result

NEAR = {"model": "near", "temperature": 0.5}
FAR = {"model": "far", "temperature": 1.0}
LEVELS = {"near": 0.5, "far": 1.2}


# What a file shows, by its need and its seed.


def models(need, seed):
    return LEVELS.get(need["model"], 0.0) + 0.001 * seed


def temperatures(need, seed):
    """0.5 is best."""
    return (0.1 if need.get("temperature") == 0.5 else 1.0) + 0.001 * seed


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


WORLDS = {world.__name__: world for world in (models, temperatures, gains, spreads, distances, learning)}
# World (or what all files show, where it holds and where not), an entry, and what makes of it one that does not hold.
CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = yaml.safe_load("""
kid:
- models
- {better: &near {model: near, temperature: 0.5}, worse: &far {model: far, temperature: 1.0}}
- {better: *far, worse: *near}
kid-factor: [models, {better: *far, worse: *near, factor: 99}, {factor: 0.01}]
kid_same: [models, {one: *far, other: {model: far, temperature: 0.5}, margin: 0.9}, {one: *near, margin: 0.4}]
kid_best: [temperatures, {model: m, temperature: 0.5, others: [0.0, 1.0]}, {temperature: 1.0, others: [0.5]}]
kid_gain: [gains, {more: near, less: far, temperatures: [1.0, 0.5]}, {more: far, less: near}]
kept-diversity: [spreads, &more {measure: diversity, more: near, less: far, temperatures: [1.0, 0.5]},
  {more: far, less: near}]
kept-recall: [spreads, {<<: *more, measure: recall}, {more: far, less: near}]
quality_time: [learning, {ours: [*near], theirs: [*far]}, {ours: [*far], theirs: [*near]}]
bits: [models, {better: near, worse: far}, {better: far, worse: near}]
bits_apart: [models, {better: near, worse: far, apart: 0.5}, {better: far, worse: near}]
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
    write_world(root / "results", entry, world, [0])
    return ledger(root / "results", entry, [0])


def test_every_kind_has_a_case():
    assert {name.split("-")[0] for name in CASES} == set(KINDS)


@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_each_kind_tells_what_holds_from_what_does_not(tmp_path, name, holds):
    entry, world = case(name, holds)
    of_runs = ("information", "fid_and_kid", "fid_reached", "bits_reached")  # no images to resample: seeds alone
    seeds = [0, 1, 2] if entry["kind"] in of_runs or not holds else [0]
    paths = write_world(tmp_path / "results", entry, world, seeds)
    row = ledger(tmp_path / "results", entry, seeds)
    assert row["verdict"] == (HOLDS if holds else FAILS)
    assert float(row["low"]) <= float(row["effect"]) <= float(row["high"])
    assert row["unit"]
    assert row["scale"]
    assert row["note"]
    assert "{" not in row["note"]
    how = {"speed": "t over 8 rounds of one timing", "size": "none: counted"}.get(name, "t over 3 seeds")
    assert row["interval"] == how if len(seeds) == 3 else row["interval"]
    assert row["seeds"] == ("" if name in SEEDLESS else " ".join(map(str, seeds)))
    assert set(row["evidence"].split("; ")) == {str(path) for path in paths}
    assert row["evidence_source_sha256"] == "s"
    assert row["needed"][:2] in ("> ", "< ")
    effects = [float(effect) for effect in row["effects"].split()]
    assert len(effects) == (1 if name in SEEDLESS else len(seeds))
    assert np.mean(effects) == pytest.approx(float(row["effect"]), rel=1e-2)


@pytest.mark.parametrize("name", ["kid", "bits", "speed"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: change(path, dataset="others")])
def test_evidence_that_is_missing_or_of_something_else_is_one_line_that_names_it(tmp_path, name, damage):
    entry, world = case(name)
    for path in write_world(tmp_path / "results", entry, world, [0]):
        content = path.read_bytes()
        damage(path)
        with pytest.raises(UserError, match=r"does not exist|dataset") as error:
            ledger(tmp_path / "results", entry, [0])
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
        path.write_bytes(content)


OTHER = {"inputs": {"resources/weights/i": "other"}}


@pytest.mark.parametrize(
    ("name", "file", "values", "key"),
    [
        ("kid", "near/seed0/metrics/test-60-8/T0.5.npz", {"weights_sha256": "other"}, "weights_sha256"),
        (
            "kept-recall",
            "far/seed0/metrics/test-60-8/T1.0.npz",
            OTHER,
            "weights/i",
        ),
        (
            "quality_time",
            "near/seed0/snapshots/test-60-8/T0.5.json",
            OTHER,
            "weights/i",
        ),
        ("bits", "far/seed0/likelihood.json", {"data_sha256": "other"}, "data_sha256"),
    ],
)
def test_files_made_from_different_data_weights_or_references_are_refused(tmp_path, name, file, values, key):
    entry, world = case(name)
    write_world(tmp_path / "results", entry, world, [0])
    change(tmp_path / "results/demo/toys" / file, **values)
    with pytest.raises(UserError, match=f"differ in .*{key}"):
        ledger(tmp_path / "results", entry, [0])


def test_one_best_temperature_must_beat_each_other_one(tmp_path):
    entry = claim("kid_best", model="m", temperature=0.5, others=[0.0, 0.75])
    levels = {None: 0.0, 0.0: 2.0, 0.5: 1.0, 0.75: 0.1}
    row = row_of(tmp_path, entry, lambda need, seed: levels[need.get("temperature")])
    assert row["verdict"] == FAILS


def test_where_no_samples_beat_a_gaussian_of_the_pixels_nothing_is_judged(tmp_path):
    entry = claim("kid", better=NEAR, worse=FAR)
    write_world(tmp_path / "results", entry, models, [0])
    change(tmp_path / "results/demo/toys/floor/test-60-8.json", kid=0.4)  # the metrics of both are at .5
    row = ledger(tmp_path / "results", entry, [0])
    assert row["verdict"] == UNDECIDED
    assert float(row["low"]) > 0
    assert row["note"].startswith("No samples beat a Gaussian fitted to the training pixels by KID")
    assert "a Gaussian fitted to the training pixels: FID 300, KID 0.4" in row["note"]


def test_a_recall_of_zero_has_no_share_to_compare(tmp_path):
    entry = claim("kept", measure="recall", more="near", less="far", temperatures=[1.0, 0.5])
    row = row_of(tmp_path, entry, lambda need, seed: 9.0)  # far from every real image
    assert (row["effect"], row["low"], row["high"], row["verdict"]) == ("", "-inf", "inf", UNDECIDED)


def equal_time(root: Path, first: int, near: list) -> dict[str, str]:
    """The row of a claim at equal time: `near` after so many epochs of a VAE."""
    entry = claim("quality_time", ours=[{"model": "vae", "temperature": 0.0}, NEAR], theirs=[FAR])
    worlds = {"vae": [(4.0, 4.0)], "near": near, "far": [(3.0, 2.0), (7.0, 1.5)]}
    write_world(root / "results", entry, lambda need, seed: worlds[need["model"]], [0])
    base = {"model": "vae", "base": None, "training": {"epochs": first}}
    change(root / "results/demo/toys/near/seed0/config.json", base=base, training={"epochs": 4})
    return ledger(root / "results", entry, [0])


def test_quality_is_compared_at_the_longest_time_that_both_trained(tmp_path):
    row = equal_time(tmp_path, 4, [(2.0, 3.0), (4.0, 1.0)])  # at the last 7 s: between 6 and 8 s
    assert float(row["effect"]) == pytest.approx(1.5 - 2.0)
    assert row["verdict"] == FAILS
    assert "CPU seconds 7" in row["note"]


@pytest.mark.parametrize("near", [[(4.0, 0.2)], [(2.0, 3.0), (4.0, None)]])
def test_before_the_last_phase_or_where_samples_overflowed_there_is_nothing_to_compare(tmp_path, near):
    row = equal_time(tmp_path, 4, near)
    assert row["effect"] == ""
    assert row["verdict"] == UNDECIDED
    assert "no snapshot of its last phase" in row["note"]


def test_a_layer_that_is_no_sharper_than_its_own_noise_does_not_sharpen(tmp_path):
    entry = claim("layer", model="m", value="sharpness")
    write_world(tmp_path / "results", entry, lambda need, seed: 0.5, [0])
    path = tmp_path / "results/demo/toys/m/seed0/layer_action.json"
    images = read_result(path).content["per_image"]
    change(path, per_image=images | {"spectrum_error_vae_noisy": [0.1] * len(images["content_kept"])})
    assert ledger(tmp_path / "results", entry, [0])["verdict"] == FAILS


@pytest.mark.parametrize(
    ("mine", "theirs", "words"), [("<=", "=", "larger"), ("=", "<=", "smaller"), ("<=", "<=", "both"), ("=", "=", "")]
)
def test_upper_bounds_are_said_to_be_such(tmp_path, mine, theirs, words):
    entry, world = case("bits")
    write_world(tmp_path / "results", entry, world, [0])
    for model, bound in (("near", mine), ("far", theirs)):
        change(tmp_path / f"results/demo/toys/{model}/seed0/likelihood.json", bound=bound)
    note = ledger(tmp_path / "results", entry, [0])["note"].lower()
    assert words in note
    assert bool(words) == ("upper bound" in note)


def quantities(x: np.ndarray, mine: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """Of features and weights, copy by copy; pairs of copies of one image are no pairs."""
    samples = np.repeat(np.arange(60), mine)
    reals = np.repeat(np.arange(60), real)

    def pairs(values: np.ndarray, held: np.ndarray) -> float:
        return values[np.ix_(held, held)][held[:, None] != held].mean()

    def kernel(y: np.ndarray, z: np.ndarray) -> np.ndarray:
        return (y @ z.T / 8 + 1) ** 3

    apart = np.sqrt(((x[:, None] - x) ** 2).sum(2))
    near = np.sqrt(((x[:, None] - REAL.astype(float)) ** 2).sum(2))
    cross = kernel(x, REAL)[np.ix_(samples, reals)].mean()
    return {
        "kid": pairs(kernel(x, x), samples) + pairs(kernel(REAL, REAL), reals) - 2 * cross,
        "diversity": pairs(apart, samples),
        "recall": (near <= np.sort(apart)[:, [3]]).any(0)[reals].mean(),
    }


def test_effects_are_those_of_features_directly(tmp_path):
    """The ledger's, and the first draws of each quantity."""
    entry = claim("kid", better=NEAR, worse=FAR)
    row = row_of(tmp_path, entry, models)
    place = ("toys", "test-60-8")
    real = resample(60, *place, "reference").astype(int)
    kids = []
    for model, temperature in (("near", 0.5), ("far", 1.0)):
        name = f"results/demo/toys/{model}/seed0/metrics/test-60-8/T{temperature}.npz"
        random = np.random.default_rng(stable_hash(*Path(name).parts))
        x = features(LEVELS[model], random).astype(float)
        own = resample(60, *place, model, 0).astype(int)
        draws = read_result(tmp_path / name, None).arrays
        kids.append(draws["kid"][0])
        for draw in range(4):
            expected = {quantity: values[draw] for quantity, values in draws.items()}
            assert quantities(x, own[draw], real[draw]) == pytest.approx(expected, rel=1e-5), draw
    assert float(row["effect"]) == pytest.approx(kids[1] - kids[0], rel=1e-3)


RACE = ("slow", "one", "other")
QUIET = np.tile([4.0, 1.0, 1.5], (8, 1))  # a ratio of 3.2
SPEED = claim("speed", slow=["slow"], fast=["one", "other"], networks="demo")


def race(root: Path, rounds: np.ndarray, kind: str = "cuda", cpu: np.ndarray | None = None, **keys) -> dict[str, str]:
    """The ledger's row on seconds of each round, [rounds, 3]."""
    cpu = rounds if cpu is None else cpu
    models = {name: timed_model(rounds[:, k].tolist(), cpu[:, k].tolist()) for k, name in enumerate(RACE)}
    write_timing(root / "demo/toys/timing.json", models, kind)
    return ledger(root, SPEED | keys, [0])


@pytest.mark.parametrize("factor", [1.5, 6.0])
@pytest.mark.parametrize("longest", [1, 3, 24])
def test_beside_a_load_that_comes_and_goes_the_interval_holds_the_quiet_ratio_or_says_nothing(
    tmp_path, factor, longest
):
    """Windows in a row are `factor` times as slow while there is a load, for 1 to `longest` of them."""
    missed = 0
    tries = 30
    for seed in range(tries):
        random = np.random.default_rng(seed)
        lengths = random.integers(1, longest + 1, QUIET.size)
        loaded = np.repeat(np.arange(QUIET.size) % 2, lengths)[: QUIET.size].reshape(QUIET.shape)
        row = race(tmp_path, QUIET * factor**loaded * np.exp(0.01 * random.normal(size=QUIET.shape)))
        missed += not float(row["low"]) <= 3.2 <= float(row["high"])
    assert missed <= 0.1 * tries  # a 95% interval misses some


def test_rounds_that_disagree_widen_the_interval_and_the_note_says_so_in_numbers(tmp_path):
    uneven = QUIET.copy()
    uneven[2:, 0] *= 1.6
    row = race(tmp_path, QUIET, "cpu", uneven, threshold=3.2)
    assert row["verdict"] == HOLDS
    assert "rounds from 3.2 to 5.12" in row["note"]
    assert row["interval"] == "t over 8 rounds of one timing"
    assert float(row["high"]) > 1.3 * float(row["low"])
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
    assert ends == pytest.approx([*ttest_1samp(logs, 0).confidence_interval()], abs=0.3)  # by draws
    assert row["verdict"] == UNDECIDED
    assert row["interval"] == "t over 3 timings"
    assert "Timing of a: 2, rounds from 2 to 2" in row["note"]
    assert "Timing of c: 6, " in row["note"]
    assert "Timing of d does not count" in row["note"]
    assert "Timing of e does not count" in row["note"]
    assert row["evidence"].split("; ") == [*map(str, sorted(kept.iterdir())), str(latest)]


# Entries of a ledger, their verdicts, and the notes of those that are not measured.
ENTRIES = yaml.safe_load("""
likelihood: {kind: bits, better: near, worse: far, statement: Fewer bits | dim, published: "<= 3.17, 3.35"}
smoothness: {kind: smooth, model: near, space: prior, threshold: 0.5}
trained: {kind: bits, better: near, worse: far, training: true}
equal: {kind: kid_same, one: {model: a, temperature: 0.0}, other: {model: b, temperature: 0.0}, margin: 0.9}
"off": {kind: information, higher: near, lower: far, value: kl_nats, run: false, unfit: Too small}
elsewhere: {kind: bits_reached, better: near, value: 3.17, run: false, needs: paper, takes: 71 hours}
""")
ENTRIES = {name: claim(**entry) for name, entry in ENTRIES.items()}
VERDICTS = yaml.safe_load("""
likelihood: holds
smoothness: does not hold
trained: undecided
equal: holds
"off": not run at this preset
elsewhere: needs preset paper
""")
NOTES = {"off": "Too small", "elsewhere": "`make study PRESET=paper` measures it; the runs it reads take 71 hours."}


def world(need, seed):
    if need["what"] == "interpolation":
        return [[0.1, 3.0, 0.1]] * 4
    return {"near": 0.0, "far": 1.0}.get(need["model"], 1.5)


def run() -> tuple[list[dict[str, str]], str]:
    """The ledger's rows and its page, by the step."""
    forms = [Path(f"results/demo/claims.{form}") for form in ("csv", "full.csv", "md", "html")]
    plain, full, markdown, html = forms
    run_step("claims", spec=spec_file(Path("results"), spec(ENTRIES, [0])), results_root="results", output=forms)
    assert "<table" in html.read_text()
    rows = read_csv(full)
    assert read_csv(plain) == [dict(list(row.items())[:15]) for row in rows]
    return rows, markdown.read_text()


def test_the_csv_has_a_row_a_claim_and_the_page_shows_it_with_the_rule(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for entry in ENTRIES.values():
        if entry["run"]:
            write_world(Path("results"), entry, world, [0])
    rows, page = run()
    assert run() == (rows, page)
    assert list(rows[0]) == list(COLUMNS)
    assert {row["claim"]: row["verdict"] for row in rows} == VERDICTS
    for row in rows:
        assert row["preset"] == "demo"
        assert row["dataset"] == "toys"
        assert row["statement"]
        assert row["where"]
        if row["claim"] in NOTES:
            assert not any(row[key] for key in ("effect", "low", "high", "unit", "interval", "evidence", "seeds"))
            assert row["note"] == NOTES[row["claim"]]
        else:
            assert float(row["low"]) <= float(row["effect"]) <= float(row["high"])
            assert row["interval"].startswith("bootstrap over")
            assert row["seeds"] == "0"
            assert all(path.startswith("results/demo/toys/") for path in row["evidence"].split("; "))
    assert "6 claims at preset demo, seeds 0: holds 2, does not hold 1, undecided 1, not run at this preset 1, " in page
    assert "needs preset paper 1.\n" in page
    assert "Measured on: A CPU; commits: abc." in page
    assert {row["device"] for row in rows} == {"A CPU", ""}
    assert "**Demo scale**" in page
    assert "## The rule" in page
    assert "> 0.5" in page
    assert "< 0.9" in page
    assert "any amount" in page
    assert not {"nan", "None"} & set(page.replace("|", " ").split())
    assert "Demo scale" not in to_markdown(build_ledger(spec({}, [0]), "results"), spec({}, [0]) | {"preset": "paper"})
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1  # a | in a statement makes no column
    for line, row in zip(table[2:], rows, strict=True):
        assert row["claim"] in line
        assert f"**{row['verdict']}**" in line
        if row["low"]:
            assert f"{row['effect']} [{row['low']}, {row['high']}] {row['unit']}" in line
        assert f"**{row['claim']}** ({row['verdict']})." in page
