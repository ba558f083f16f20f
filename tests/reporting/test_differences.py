"""The table of one model minus another: paired by seed and by test image, with the ledger's own numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from claims_tools import claim, ledger
from run_tools import checked, shipped_config
from table_tools import WEIGHTS, change, form, identity_of, row, run_table, shown, spec_of, write_run

from vaeglow.config import effective, merge, plan
from vaeglow.errors import UserError
from vaeglow.reporting import paired
from vaeglow.reporting.traced import evidence_of

IMAGES = 40
ROWS = [row("vaeglow", 0.5, minus=row("glow", 1.0)), row("vaeglow", 0.5, minus=row("vae", 0.0))]
FIDS = {"glow": [50.0, 60.0, 55.0], "vae": [90.0, 95.0, 85.0], "vaeglow": [40.0, 52.0, 46.0]}


def spec(seeds: list[int], rows: list[dict] = ROWS) -> dict:
    return spec_of("differences", rows, name="differences", seeds=seeds)


def image_bits(model: str, seed: int) -> np.ndarray:
    """Hard and easy images, the same for all; each model off by its own amount, and a little by seed and image."""
    shared = np.random.default_rng(9).normal(size=IMAGES)
    own = np.random.default_rng([len(model), seed]).normal(size=IMAGES)
    return 4 + {"glow": 0.1, "vae": 1.0, "vaeglow": 0.0}[model] + shared + 0.05 * own + 0.01 * seed


def write(root: Path, model: str, seed: int, temperatures: list[float]) -> None:
    values = image_bits(model, seed)
    fid = FIDS[model][seed]
    run = write_run(root, model, temperatures, seed, fid=fid, kid=fid / 1000, bits=float(values.mean()))
    change(run / "likelihood.json", images=IMAGES)
    about = np.array(json.dumps(identity_of(model, seed)))
    np.savez(run / "likelihood.npz", bits_per_dim_1=values, metadata=about)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    for seed in range(3):
        for model, temperatures in (("glow", [1.0]), ("vae", [0.0]), ("vaeglow", [0.5])):
            write(root, model, seed, temperatures)
    return root


def test_differences_are_taken_seed_by_seed(results):
    first, second = run_table(results, spec([0, 1, 2]))
    each = np.array([-10.0, -8.0, -9.0])
    assert (first["model"], first["minus"]) == ("Ours (Glow layer, squeeze 2), T=0.5", "Glow, T=1.0")
    assert (first["difference_fid"], first["difference_fid_sd"]) == ("-9.00", "1.00")
    half = 4.302653 * each.std(ddof=1) / np.sqrt(3)
    assert float(first["difference_fid_low"]) == pytest.approx(-9 - half, abs=0.01)
    assert float(first["difference_fid_high"]) == pytest.approx(-9 + half, abs=0.01)
    assert (first["difference_kid"], first["difference_kid_sd"]) == ("-0.00900", "0.00100")
    apart = np.std(FIDS["vaeglow"], ddof=1), np.std(FIDS["glow"], ddof=1)
    assert float(first["difference_fid_sd"]) < min(apart)  # the pairing takes out what runs of one seed share
    assert (second["difference_fid"], second["seeds"]) == ("-44.00", "0 1 2")
    assert (second["run"], second["minus_run"], second["origin"]) == (
        "vaeglow", "vae", "results/demo/photos32/vaeglow",
    )  # fmt: skip


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
def test_bits_per_dim_are_paired_image_by_image(results, seeds):
    found = run_table(results, spec(seeds))[0]
    each = np.stack([image_bits("vaeglow", seed) - image_bits("glow", seed) for seed in seeds])
    assert float(found["difference_bits_per_dim"]) == pytest.approx(each.mean(), abs=1e-4)
    error = each.mean(0).std(ddof=1) / np.sqrt(IMAGES)
    assert float(found["difference_bits_per_dim_standard_error"]) == pytest.approx(error, abs=1e-4)
    unpaired = np.hypot(*(image_bits(model, 0).std(ddof=1) for model in ("vaeglow", "glow"))) / np.sqrt(IMAGES)
    assert error < unpaired / 5
    spread = f"{each.mean(1).std(ddof=1):.4f}" if len(seeds) > 1 else ""
    assert found["difference_bits_per_dim_sd"] == spread
    assert bool(found["difference_bits_per_dim_low"]) == (len(seeds) >= 3)


def test_the_ledger_says_the_same(results):
    """The claim `bits` on the same files: the same effect and, from three seeds on, the same interval."""
    found = run_table(results, spec([0, 1, 2]))[0]
    judged = ledger(results, claim("bits", dataset="photos32", better="vaeglow", worse="glow"), [0, 1, 2])
    for column, key in (("", "effect"), ("_low", "high"), ("_high", "low")):
        assert -float(judged[key]) == pytest.approx(float(found[f"difference_bits_per_dim{column}"]), abs=1e-4)


def test_what_a_reader_sees(results):
    one_seed, three_seeds = spec([0]), spec([0, 1, 2])
    run_table(results, one_seed)
    first = shown(results, one_seed)[0]
    assert list(first) == ["Model", "minus", "FID", "KID", "bits/dim", "Seeds"]
    assert first["FID"] == "-10.00" and first["KID"] == "-0.01000 (± 0.00283)"
    assert first["bits/dim"].startswith("-0.") and "(± 0.0" in first["bits/dim"]
    text = form(results, one_seed)
    assert "less than 0 is in the first one's favour" in text and "One seed (0)" in text
    assert "the number of Glow, T=1.0 is exact" in text and "both numbers are upper bounds" in text
    run_table(results, three_seeds)
    assert shown(results, three_seeds)[0]["FID"] == "-9.00 ± 1.00"
    assert "± is the standard deviation of the difference over seeds 0 1 2" in form(results, three_seeds)
    assert "booktabs" in form(results, three_seeds, ".tex") or "toprule" in form(results, three_seeds, ".tex")


def test_the_evidence_names_every_file_of_both_sides(results):
    found = evidence_of(run_table(results, spec([0, 1], ROWS[:1]))[0])
    names = {Path(path).relative_to(results).as_posix() for path in found}
    files = ("training.json", "likelihood.json", "likelihood.npz")
    wanted = {f"demo/photos32/{m}/seed{s}/{file}" for m in ("vaeglow", "glow") for s in (0, 1) for file in files}
    drawn = {
        f"demo/photos32/{m}/seed{s}/metrics/test-500-64/T{t}.json"
        for m, t in (("vaeglow", 0.5), ("glow", 1.0))
        for s in (0, 1)
    }
    assert names == wanted | drawn


def test_samples_too_few_for_a_kid_leave_its_cells_empty(results):
    change(results / "demo/photos32/glow/seed0/metrics/test-500-64/T1.0.json", kid=None, kid_standard_error=None)
    found = run_table(results, spec([0]))[0]
    assert found["difference_kid"] == found["difference_kid_standard_error"] == "" and found["difference_fid"]


@pytest.mark.parametrize(
    ("file", "values", "says"),
    [
        ("likelihood.json", {"images": 39}, "took bits/dim over different numbers of images"),
        ("likelihood.json", {"data_sha256": "x"}, "differ in data_sha256"),
        ("metrics/test-500-64/T1.0.json", {"fid_samples": 499}, "fid_samples is 499"),
        ("metrics/test-500-64/T1.0.json", {"inputs": {WEIGHTS: "x"}}, f"differ in {WEIGHTS}"),
    ],
)
def test_runs_that_cannot_be_paired_are_one_line(results, file, values, says):
    change(results / "demo/photos32/glow/seed0" / file, **values)
    with pytest.raises(UserError, match=says) as caught:
        run_table(results, spec([0]))
    assert "\n" not in str(caught.value)
    assert not (results / "demo/tables/differences.csv").exists()


def test_values_that_are_missing_or_broken_are_one_line(results):
    images = results / "demo/photos32/glow/seed0/likelihood.npz"
    images.write_bytes(images.read_bytes()[:50])
    with pytest.raises(UserError, match="is damaged"):
        run_table(results, spec([0]))
    images.unlink()
    with pytest.raises(UserError, match="does not exist"):
        run_table(results, spec([0]))
    assert paired.standard_error([np.ones(1)]) is None


def test_an_entry_reads_both_sides_of_each_pair():
    pair = {"model": "vaeglow", "dataset": "faces", "temperature": 1, "minus": {"model": "glow", "temperature": 0}}
    table = {"kind": "differences", "title": "t", "caption": "c", "rows": [pair]}
    whole = effective(merge(shipped_config(), {"tables": {"pairs": table}}), "demo")
    found = plan.filled_in(whole, "tables", "pairs")["rows"][0]
    assert found["minus"] == {"model": "glow", "dataset": "photos64", "preset": "demo", "temperature": 0.0}
    needs = plan.needs(whole, "tables", "pairs")
    assert {(need["model"], need["what"]) for need in needs} == {
        (model, what)
        for model in ("vaeglow", "glow")
        for what in ("metrics", "likelihood", "likelihood_images", "training")
    }
    drawn = {(need["model"], need["temperature"]) for need in needs if need["what"] == "metrics"}
    assert drawn == {("vaeglow", 1.0), ("glow", 0.0)}


@pytest.mark.parametrize(
    ("minus", "says"),
    [
        ({"model": "vaeglow", "temperature": 0.5}, r"differences: vaeglow at 0\.5 is compared with itself"),
        ({"model": "glwo", "temperature": 1.0}, r"differences: unknown model 'glwo' \(did you mean 'glow'"),
        ({"model": "glow"}, r"rows\.0\.minus.* lacks the key 'temperature'"),
        (None, r"tables\.differences\.rows\.0' lacks the key 'minus'"),
    ],
)
def test_a_slip_in_a_pair_is_one_line(minus, says):
    pair = {"model": "vaeglow", "temperature": 0.5} | ({} if minus is None else {"minus": minus})
    with pytest.raises(UserError, match=says) as caught:
        checked(json.dumps({"tables": {"differences": {"rows": [pair]}}}))
    assert "\n" not in str(caught.value)


def test_a_row_of_another_kind_has_no_other_side():
    pair = {"model": "vaeglow", "temperature": 0.5, "minus": {"model": "glow", "temperature": 1.0}}
    with pytest.raises(UserError, match="minus"):
        checked(json.dumps({"tables": {"table2": {"rows": [pair]}}}))
    twice = {"tables": {"differences": {"rows": [pair, pair]}}}
    with pytest.raises(UserError, match=r"minus: .*glow.* stands in it twice"):
        checked(json.dumps(twice))
