"""Every kind of claim on made-up evidence, both ways, that it reads what it says it needs; the files of the ledger."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from claims_tools import MADE, REAL, claim, features, ledger, spec, timed_model, write_timing, write_world
from run_tools import run_step
from scipy.stats import ttest_1samp
from table_tools import change, spec_file

from vaeglow.config.registry import kinds_of
from vaeglow.data.seeds import stable_hash
from vaeglow.errors import UserError
from vaeglow.evaluation.bootstrap import resample
from vaeglow.files import read_csv
from vaeglow.reporting.claims.ledger import COLUMNS, build_ledger, to_markdown
from vaeglow.reporting.claims.statistics import FAILS, HOLDS, SEEDLESS, UNDECIDED
from vaeglow.results import read_result

NEAR, FAR = {"model": "near", "temperature": 0.5}, {"model": "far", "temperature": 1.0}
LEVELS = {"near": 0.5, "far": 1.2}
EVEN, JUMP = [[1.0, 1.2, 0.9, 1.0]] * 5, [[0.1, 4.0, 0.1, 0.1]] * 5


# What a file shows, by its need and its seed.
WORLDS = {
    "models": lambda need, seed: LEVELS.get(need["model"], 0.0) + 0.001 * seed,
    "temperatures": lambda need, seed: (0.1 if need.get("temperature") == 0.5 else 1.0) + 0.001 * seed,  # 0.5 is best
    # only `near` gains by a lower temperature
    "gains": lambda need, seed: 1.2 - ((need["model"], need.get("temperature")) == ("near", 0.5)) + 0.001 * seed,
    # (shift, scale): `far` loses most of its spread at the lower temperature
    "spreads": lambda need, _: (0.0, 0.05 if (need["model"], need.get("temperature")) == ("far", 0.5) else 1.0),
    "distances": lambda need, seed: (
        need["what"] == "metrics" and {"fid": LEVELS[need["model"]] + 0.001 * seed, "kid": LEVELS[need["model"]] / 9}
    ),
    # `near` is better from 10 s on, `far` trained longer
    "learning": lambda need, _: [(1.0, 2.0), (10.0, 0.5)] if need["model"] == "near" else [(9.0, 1.0), (20.0, 0.1)],
}
WORSE_KID = {"better_kid": FAR, "worse_kid": NEAR}
BETTER, WORSE = {"better": NEAR, "worse": FAR}, {"better": FAR, "worse": NEAR}
SAME = {"one": FAR, "other": FAR | {"temperature": 0.5}, "margin": 0.9}
BEST = {"model": "m", "temperature": 0.5, "others": [0.0, 1.0]}
MORE, LESS = {"more": "near", "less": "far", "temperatures": [1.0, 0.5]}, {"more": "far", "less": "near"}
BITS, BITS_TURNED = {"better": "near", "worse": "far"}, {"better": "far", "worse": "near"}
HIGHER, LOWER = {"higher": "far", "lower": "near"}, {"higher": "near", "lower": "far"}
TIMES = {"slow": ["far"], "fast": ["near", "far"], "networks": "demo", "threshold": 1.3}
HALF = {"model": "m", "threshold": 0.5}
# world (or two, one in which it holds and one in which not), an entry, and what makes of it one that does not hold
CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "kid": ("models", BETTER, WORSE),
    "kid-factor": ("models", {**WORSE, "factor": 99}, {"factor": 0.01}),
    "kid_same": ("models", SAME, {"one": NEAR, "margin": 0.4}),
    "kid_best": ("temperatures", BEST, {"temperature": 1.0, "others": [0.5]}),
    "kid_gain": ("gains", MORE, LESS),
    "kept-diversity": ("spreads", {"measure": "diversity", **MORE}, LESS),
    "kept-recall": ("spreads", {"measure": "recall", **MORE}, LESS),
    "quality_time": ("learning", {"ours": [NEAR], "theirs": [FAR]}, {"ours": [FAR], "theirs": [NEAR]}),
    "bits": ("models", BITS, BITS_TURNED),
    "bits_apart": ("models", {**BITS, "apart": 0.5}, BITS_TURNED),
    "fid_and_kid": ("distances", BETTER, WORSE),
    "fid_and_kid-of_each": (
        "distances",
        {**WORSE, "measures": ["kid"], "better_kid": NEAR, "worse_kid": FAR},
        WORSE_KID,
    ),
    "bits-behind": ("models", {**BITS_TURNED, "threshold": -2.0}, {"threshold": -0.5}),
    "fid_reached": ("models", {"better": NEAR, "value": 13.0}, {"value": 12.0}),
    "bits_reached": ("models", {"better": "near", "value": 0.4, "threshold": -0.2}, {"value": 0.2}),
    "speed": ("models", TIMES, {"threshold": 1.6}),
    "size": ("models", {**BITS, "networks": "demo", "threshold": 1.3}, {"threshold": 3.0}),
    "noise": ((0.4, -0.4), {"model": "far", "value": "error_correlations"}, {}),
    "noise-border": ((0.4, -0.4), {"model": "far", "value": "border_contrasts"}, {}),
    "information": ("models", {**HIGHER, "value": "decoder_information_upper_nats"}, LOWER),
    "information-entropy": ("models", {**HIGHER, "value": "entropy_image_bits_per_dim"}, {"threshold": 2.0}),
    "layer-sharpness": ((0.5, -0.5), {"model": "m", "value": "sharpness"}, {}),
    "layer-content": ((0.95, 0.1), {"model": "m", "value": "content"}, {}),
    "layer-draws": ((0.9, 0.2), {**HALF, "value": "draws"}, {}),
    "detail": ("models", BITS_TURNED, BITS),
    "smooth": ((EVEN, JUMP), {**HALF, "space": "prior"}, {}),
}


def case(name: str, holds: bool = True) -> tuple[dict[str, Any], Any]:
    """The entry and the world of one case."""
    world, entry, change = CASES[name]
    entry = claim(name.split("-")[0], **entry | ({} if holds else change))
    return entry, WORLDS[world] if isinstance(world, str) else lambda need, seed: world[not holds]


@pytest.mark.parametrize("holds", [True, False])
@pytest.mark.parametrize("name", CASES)
def test_each_kind_tells_what_holds_from_what_does_not(tmp_path, name, holds):
    assert {name.split("-")[0] for name in CASES} == set(kinds_of("claims"))
    entry, world = case(name, holds)
    alone = name.startswith(("information", "fid_and_kid")) or name.endswith(
        "reached"
    )  # no images to resample: seeds alone
    seeds = [0, 1, 2] if alone or not holds else [0]
    paths = write_world(tmp_path / "results", entry, world, seeds)
    row = ledger(tmp_path / "results", entry, seeds)
    assert row["verdict"] == (HOLDS if holds else FAILS)
    assert float(row["low"]) <= float(row["effect"]) <= float(row["high"])
    assert row["unit"] and row["scale"] and row["note"] and "{" not in row["note"]
    over_seeds = {"speed": "t over 8 rounds of one timing", "size": "none: counted"}.get(name, "t over 3 seeds")
    assert row["interval"] == over_seeds if len(seeds) == 3 else row["interval"]
    assert row["seeds"] == ("" if name in SEEDLESS else " ".join(map(str, seeds)))
    assert set(row["evidence"].split("; ")) == {str(path) for path in paths}
    assert row["evidence_source_sha256"] == "s" and row["needed"][:2] in ("> ", "< ")
    effects = [float(effect) for effect in row["effects"].split()]
    assert len(effects) == len(seeds if row["seeds"] else [0])
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
        assert str(path) in str(error.value) and "\n" not in str(error.value)
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "file", "key"),
    [
        ("kid", "T0.5.npz", "weights_sha256"),
        ("kept-recall", "T1.0.npz", "resources/weights/i"),
        ("quality_time", "T0.5.json", "resources/weights/i"),
        ("bits", "likelihood.json", "data_sha256"),
    ],
)
def test_files_made_from_different_data_weights_or_references_are_refused(tmp_path, name, file, key):
    entry, world = case(name)
    path = next(path for path in write_world(tmp_path / "results", entry, world, [0]) if path.name == file)
    named = [name for name in read_result(path).content["inputs"] if key in name]
    change(path, **({"inputs": dict.fromkeys(named, "other")} if named else {key: "other"}))
    with pytest.raises(UserError, match=f"differ in .*{key}"):
        ledger(tmp_path / "results", entry, [0])


def test_one_best_temperature_must_beat_each_other_one(tmp_path):
    entry = claim("kid_best", model="m", temperature=0.5, others=[0.0, 0.75])
    levels = {0.0: 2.0, 0.5: 1.0, 0.75: 0.1}
    write_world(tmp_path / "results", entry, lambda need, seed: levels.get(need.get("temperature"), 0.0), [0])
    assert ledger(tmp_path / "results", entry, [0])["verdict"] == FAILS


def test_where_no_samples_beat_a_gaussian_of_the_pixels_nothing_is_judged(tmp_path):
    entry = claim("kid", better=NEAR, worse=FAR)
    for path in write_world(tmp_path / "results", entry, WORLDS["models"], [0]):
        if path.parent.name == "floor":
            change(path, kid=0.4)  # the metrics of both are at .5
    row = ledger(tmp_path / "results", entry, [0])
    assert row["verdict"] == UNDECIDED and float(row["low"]) > 0
    assert row["note"].startswith("No samples beat a Gaussian fitted to the training pixels by KID")
    assert "a Gaussian fitted to the training pixels: FID 300, KID 0.4" in row["note"]


def test_a_recall_of_zero_has_no_share_to_compare(tmp_path):
    entry = claim("kept", measure="recall", **MORE)
    write_world(tmp_path / "results", entry, lambda need, seed: 9.0, [0])  # far from every real image
    row = ledger(tmp_path / "results", entry, [0])
    assert (row["effect"], row["low"], row["high"], row["verdict"]) == ("", "-inf", "inf", UNDECIDED)


@pytest.mark.parametrize(
    ("first", "near", "effect"),
    [
        (4, [(2.0, 3.0), (4.0, 1.0)], 1.5 - 2.0),  # at the last 7 s: between 6 and 8 s
        (4, [(4.0, 0.2)], None),  # none yet of its last phase
        (4, [(2.0, 3.0), (4.0, None)], None),  # its samples overflowed after 6 s
    ],
)
def test_quality_is_compared_at_the_longest_time_that_both_trained(tmp_path, first, near, effect):
    entry = claim("quality_time", ours=[{"model": "vae", "temperature": 0.0}, NEAR], theirs=[FAR])
    worlds = {"vae": [(4.0, 4.0)], "near": near, "far": [(3.0, 2.0), (7.0, 1.5)]}
    write_world(tmp_path / "results", entry, lambda need, seed: worlds[need["model"]], [0])
    run = tmp_path / "results/demo/toys/near/seed0"
    base = {"model": "vae", "base": None, "training": {"epochs": first}}
    change(run / "config.json", base=base, training={"epochs": 4})
    row = ledger(tmp_path / "results", entry, [0])
    if effect is None:
        assert row["effect"] == "" and row["verdict"] == UNDECIDED and "no snapshot of its last phase" in row["note"]
        return
    assert float(row["effect"]) == pytest.approx(effect) and row["verdict"] == FAILS
    assert "CPU seconds 7" in row["note"]


def test_a_layer_that_is_no_sharper_than_its_own_noise_does_not_sharpen(tmp_path):
    entry = claim("layer", model="m", value="sharpness")
    (path,) = write_world(tmp_path / "results", entry, lambda need, seed: 0.5, [0])
    images = json.loads(path.read_text())["per_image"]
    change(path, per_image=images | {"spectrum_error_vae_noisy": [0.1] * len(images["spectrum_error_vae_noisy"])})
    assert ledger(tmp_path / "results", entry, [0])["verdict"] == FAILS


@pytest.mark.parametrize(
    ("mine", "theirs", "words"), [("<=", "=", "larger"), ("=", "<=", "smaller"), ("<=", "<=", "both"), ("=", "=", "")]
)
def test_upper_bounds_are_said_to_be_such(tmp_path, mine, theirs, words):
    entry = claim("bits", **BITS)
    for path in write_world(tmp_path / "results", entry, WORLDS["models"], [0]):
        if path.name == "likelihood.json":
            change(path, bound=mine if "near" in path.parts else theirs)
    note = ledger(tmp_path / "results", entry, [0])["note"].lower()
    assert words in note and bool(words) == ("upper bound" in note)


def test_effects_are_those_of_features_directly(tmp_path):
    """The ledger's, and the first draws of each quantity: copy by copy; pairs of copies of one image are no pairs."""

    def directly(x: np.ndarray, mine: np.ndarray, real: np.ndarray) -> dict[str, float]:
        one, other = (np.repeat(np.arange(60), weights) for weights in (mine, real))
        apart, near = (np.sqrt(((x[:, None] - y) ** 2).sum(2)) for y in (x, REAL.astype(float)))
        own, theirs, cross = ((y @ z.T / 8 + 1) ** 3 for y, z in ((x, x), (REAL, REAL), (x, REAL)))
        pairs = [v[np.ix_(held, held)][held[:, None] != held].mean() for v, held in ((own, one), (theirs, other))]
        found = {"kid": sum(pairs) - 2 * cross[np.ix_(one, other)].mean()}
        found["diversity"] = apart[np.ix_(one, one)][one[:, None] != one].mean()
        return found | {"recall": (near <= np.sort(apart)[:, [3]]).any(0)[other].mean()}

    entry, place = claim("kid", better=NEAR, worse=FAR), ("toys", "test-60-8")
    paths, kids = write_world(tmp_path / "results", entry, WORLDS["models"], [0]), []
    real = resample(60, *place, "reference").astype(int)
    draws_of = [path for path in paths if path.suffix == ".npz"]
    for model, path in zip(("near", "far"), draws_of, strict=True):
        random = np.random.default_rng(stable_hash(*path.parts[path.parts.index("results") :]))
        x, own = features(LEVELS[model], random).astype(float), resample(60, *place, model, 0).astype(int)
        draws = read_result(path, None).arrays
        kids.append(draws["kid"][0])
        for draw in range(4):
            found = directly(x, own[draw], real[draw])
            assert found == pytest.approx({name: values[draw] for name, values in draws.items()}, rel=1e-5), draw
    assert float(ledger(tmp_path / "results", entry, [0])["effect"]) == pytest.approx(kids[1] - kids[0], rel=1e-3)


RACE = ("slow", "one", "other")
QUIET = np.tile([4.0, 1.0, 1.5], (8, 1))  # a ratio of 3.2
SPEED = claim("speed", slow=["slow"], fast=["one", "other"], networks="demo")


def race(root: Path, rounds: np.ndarray, kind: str = "cuda", cpu: np.ndarray | None = None, **keys) -> dict[str, str]:
    """The ledger's row on seconds of each round, [rounds, 3]."""
    cpu = rounds if cpu is None else cpu
    models = {m: timed_model(*map(list, pair)) for m, *pair in zip(RACE, rounds.T, cpu.T, strict=True)}
    write_timing(root / "demo/toys/timing.json", models, kind)
    return ledger(root, SPEED | keys, [0])


@pytest.mark.parametrize("factor", [1.5, 6.0])
@pytest.mark.parametrize("longest", [1, 3, 24])
def test_beside_a_load_that_comes_and_goes_the_interval_holds_the_quiet_ratio_or_says_nothing(
    tmp_path, factor, longest
):
    """Windows in a row are `factor` times as slow while there is a load, for 1 to `longest` of them."""
    missed, tries = 0, 30
    for seed in range(tries):
        random = np.random.default_rng(seed)
        lengths = random.integers(1, longest + 1, QUIET.size)
        loaded = np.repeat(np.arange(QUIET.size) % 2, lengths)[: QUIET.size].reshape(QUIET.shape)
        found = race(tmp_path, QUIET * factor**loaded * np.exp(0.01 * random.normal(size=QUIET.shape)))
        missed += not float(found["low"]) <= 3.2 <= float(found["high"])
    assert missed <= 0.1 * tries  # a 95% interval misses some


def test_rounds_that_disagree_widen_the_interval_and_the_note_says_so_in_numbers(tmp_path):
    uneven = QUIET.copy()
    uneven[2:, 0] *= 1.6
    row = race(tmp_path, QUIET, "cpu", uneven, threshold=3.2)
    assert row["verdict"] == HOLDS and "rounds from 3.2 to 5.12" in row["note"]
    assert row["interval"] == "t over 8 rounds of one timing" and float(row["high"]) > 1.3 * float(row["low"])
    # seconds on the clock alone are noisy on a busy CPU
    row = race(tmp_path, uneven, "cpu", QUIET)
    assert row["low"] == row["high"] == "3.2"


def timing_of(path: Path, start: str, ratio: float, **keys) -> None:
    """A timing of eight equal rounds."""
    models = {m: timed_model([second] * 8) for m, second in zip(RACE, (ratio, 0.5, 1.5), strict=True)}
    write_timing(path, models)
    change(path, provenance=MADE | {"started": start}, **keys)


def test_every_timing_of_the_same_networks_counts_whatever_it_says(tmp_path):
    kept, last = tmp_path / "demo/toys/timings", tmp_path / "demo/toys/timing.json"
    for start, ratio in (("a", 2.0), ("b", 3.0), ("c", 6.0)):
        timing_of(kept / f"{start}.json", start, ratio)
    shutil.copy(kept / "c.json", last)  # counts once
    timing_of(kept / "d.json", "d", 99.0, threads=2)
    timing_of(kept / "e.json", "e", 99.0)
    models = read_result(kept / "e.json").content["models"]
    change(kept / "e.json", models=models | {"slow": models["slow"] | {"config_sha256": "other"}})
    row = ledger(tmp_path, SPEED | {"threshold": 2.0}, [0])
    logs = np.log([2, 3, 6])
    ends = ttest_1samp(logs, 0).confidence_interval()
    assert float(row["effect"]) == pytest.approx(np.exp(logs.mean()), rel=1e-3)
    found = np.log([float(row["low"]), float(row["high"])])
    assert found == pytest.approx([ends.low, ends.high], abs=0.3)  # by draws
    assert row["verdict"] == UNDECIDED and row["interval"] == "t over 3 timings"
    assert "Timing of a: 2, rounds from 2 to 2" in row["note"] and "Timing of c: 6, " in row["note"]
    assert "Timing of d does not count" in row["note"] and "Timing of e does not count" in row["note"]
    assert row["evidence"].split("; ") == [*map(str, sorted(kept.iterdir())), str(last)]


MEAN = {"temperature": 0.0}
ENTRIES = {
    "likelihood": claim("bits", better="near", worse="far", statement="Fewer bits | dim", published="<= 3.17, 3.35"),
    "smoothness": claim("smooth", model="near", space="prior", threshold=0.5),
    "trained": claim("bits", better="near", worse="far", training=True),
    "equal": claim("kid_same", one=MEAN | {"model": "a"}, other=MEAN | {"model": "b"}, margin=0.9),
    "off": claim("information", higher="near", lower="far", value="kl_nats", run=False, unfit="Too small"),
    "elsewhere": claim("bits_reached", better="near", value=3.17, run=False, needs="paper", takes="71 hours"),
}
VERDICTS = {"likelihood": "holds", "smoothness": "does not hold", "trained": "undecided", "equal": "holds"}
VERDICTS |= {"off": "not run at this preset", "elsewhere": "needs preset paper"}


def world(need, seed):
    if need["what"] == "interpolation":
        return [[0.1, 3.0, 0.1]] * 4
    return {"near": 0.0, "far": 1.0}.get(need["model"], 1.5)


def run() -> tuple[list[dict[str, str]], str]:
    forms = [Path(f"results/demo/claims.{form}") for form in ("csv", "full.csv", "md", "html")]
    output, full, markdown, html = forms
    run_step("claims", spec=spec_file(Path("results"), spec(ENTRIES, [0])), results_root="results", output=forms)
    assert "<table" in html.read_text()
    rows = read_csv(full)
    assert read_csv(output) == [dict(list(row.items())[:15]) for row in rows]
    return rows, markdown.read_text()


def test_the_csv_has_a_row_a_claim_and_the_page_shows_it_with_the_rule(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for entry in ENTRIES.values():
        if entry["run"]:
            write_world(Path("results"), entry, world, [0])
    rows, page = first = run()
    assert run() == first
    assert list(rows[0]) == list(COLUMNS)
    assert {row["claim"]: row["verdict"] for row in rows} == VERDICTS
    for row in rows:
        assert row["preset"] == "demo" and row["dataset"] == "toys" and row["statement"] and row["where"]
        if not ENTRIES[row["claim"]]["run"]:
            assert not any(row[key] for key in ("effect", "low", "high", "unit", "interval", "evidence", "seeds"))
            assert row["note"] == "Too small" or row["note"].endswith(
                "PRESET=paper` measures it; the runs it reads take 71 hours."
            )
            continue
        assert float(row["low"]) <= float(row["effect"]) <= float(row["high"])
        assert row["interval"].startswith("bootstrap over") and row["seeds"] == "0"
        assert all(path.startswith("results/demo/toys/") for path in row["evidence"].split("; "))
    assert "6 claims at preset demo, seeds 0: holds 2, does not hold 1, undecided 1, not run at this preset 1, " in page
    assert "needs preset paper 1.\n" in page
    assert "Measured on: A CPU; commits: abc." in page and {row["device"] for row in rows} == {"A CPU", ""}
    assert "**Demo scale**" in page and "## The rule" in page
    table = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1  # a | in a statement makes no column
    for line, row in zip(table[2:], rows, strict=True):
        assert row["claim"] in line and f"**{row['verdict']}**" in line
        if row["low"]:
            assert f"{row['effect']} [{row['low']}, {row['high']}] {row['unit']}" in line
        assert f"**{row['claim']}** ({row['verdict']})." in page
    assert "> 0.5" in page and "< 0.9" in page and "any amount" in page
    assert not {"nan", "None"} & set(page.replace("|", " ").split())
    assert "Demo scale" not in to_markdown(build_ledger(spec({}, [0]), "results"), spec({}, [0]) | {"preset": "paper"})
