"""The table of one model minus another: paired by seed and by test image, with the ledger's own numbers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from run_tools import checked, shipped_config
from table_tools import change, form, identity_of, row, run_table, shown, spec_of, write_run

from vaeglow.config import effective, merge, plan
from vaeglow.errors import UserError
from vaeglow.files import sha256_file
from vaeglow.reporting.traced import evidence_of
from vaeglow.results import relative

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


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for seed in range(3):
        for model, temperature in (("glow", 1.0), ("vae", 0.0), ("vaeglow", 0.5)):
            values, fid = image_bits(model, seed), FIDS[model][seed]
            about = {"fid": fid, "kid": fid / 1000, "bits": float(values.mean()), "likelihood_images": IMAGES}
            run = write_run(tmp_path, model, [temperature], seed, **about)
            images = run / "likelihood.npz"
            np.savez(images, bits_per_dim_1=values, metadata=np.array(json.dumps(identity_of(model, seed))))
            change(run / "likelihood.json", inputs={relative(images): sha256_file(images)})
    return tmp_path


def test_differences_are_taken_seed_by_seed_with_the_ledger_s_interval(results):
    first, second = run_table(results, spec([0, 1, 2]))
    each = np.array([-10.0, -8.0, -9.0])
    assert (first["model"], first["minus"]) == ("Ours (Glow layer, squeeze 2), T=0.5", "Glow, T=1.0")
    assert (first["difference_fid"], first["difference_fid_sd"]) == ("-9.00", "1.00")
    half = 4.302653 * each.std(ddof=1) / np.sqrt(3)
    ends = [float(first[f"difference_fid_{end}"]) for end in ("low", "high")]
    assert ends == pytest.approx([-9 - half, -9 + half], abs=0.01)
    assert (first["difference_kid"], first["difference_kid_sd"]) == ("-0.00900", "0.00100")
    assert (second["difference_fid"], second["seeds"]) == ("-44.00", "0 1 2")
    sides = ("vaeglow", "vae", "results/demo/photos32/vaeglow", "results/demo/photos32/vae")
    assert tuple(second[name] for name in ("run", "minus_run", "origin", "minus_origin")) == sides


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
def test_bits_per_dim_are_paired_image_by_image(results, seeds):
    found = run_table(results, spec(seeds))[0]
    each = np.stack([image_bits("vaeglow", seed) - image_bits("glow", seed) for seed in seeds])
    assert float(found["difference_bits_per_dim"]) == pytest.approx(each.mean(), abs=1e-4)
    error = each.mean(0).std(ddof=1) / np.sqrt(IMAGES)
    assert float(found["difference_bits_per_dim_standard_error"]) == pytest.approx(error, abs=1e-4)
    spread = f"{each.mean(1).std(ddof=1):.4f}" if len(seeds) > 1 else ""
    assert found["difference_bits_per_dim_sd"] == spread
    assert bool(found["difference_bits_per_dim_low"]) == (len(seeds) >= 3)


@pytest.mark.parametrize(
    ("seeds", "fid", "kid", "note"),
    [
        ([0], "-10.00", "-0.01000 (± 0.00283)", "One seed (0)"),
        ([0, 1, 2], "-9.00 ± 1.00", "-0.00900 ± 0.00100 (± 0.00163)", "± is the standard deviation of the difference"),
    ],
)
def test_what_a_reader_sees(results, seeds, fid, kid, note):
    run_table(results, spec(seeds))
    first = shown(results, spec(seeds))[0]
    assert list(first) == ["Model", "minus", "FID", "KID", "bits/dim", "Seeds"]
    assert (first["FID"], first["KID"]) == (fid, kid)
    text = form(results, spec(seeds))
    assert note in text and "the number of Glow, T=1.0 is exact" in text and "both numbers are upper bounds" in text


def test_the_evidence_names_every_file_of_both_sides(results):
    found = evidence_of(run_table(results, spec([0, 1], ROWS[:1]))[0])
    files = ("training.json", "likelihood.json", "likelihood.npz")
    drawn = {"vaeglow": "metrics/test-500-64/T0.5.json", "glow": "metrics/test-500-64/T1.0.json"}
    assert {Path(path).relative_to(results / "demo/photos32").as_posix() for path in found} == {
        f"{model}/seed{seed}/{file}" for model in drawn for seed in (0, 1) for file in (*files, drawn[model])
    }


def test_samples_too_few_for_a_kid_leave_its_cells_empty(results):
    change(results / "demo/photos32/glow/seed0/metrics/test-500-64/T1.0.json", kid=None, kid_standard_error=None)
    found = run_table(results, spec([0]))[0]
    assert found["difference_kid"] == found["difference_kid_standard_error"] == "" and found["difference_fid"]


def test_image_values_that_are_not_those_summed_up_are_refused(results):
    images, other = (results / f"demo/photos32/glow/seed{seed}/likelihood.npz" for seed in (0, 1))
    with np.load(other) as archive:
        values = archive["bits_per_dim_1"]
    np.savez(images, bits_per_dim_1=values, metadata=np.array(json.dumps(identity_of("glow"))))
    with pytest.raises(UserError, match=r"differ in .*glow/seed0/likelihood\.npz"):
        run_table(results, spec([0]))
    images.write_bytes(other.read_bytes())
    with pytest.raises(UserError, match="seed is 1, expected 0"):
        run_table(results, spec([0]))


def test_an_entry_reads_both_sides_of_each_pair():
    row = {"model": "vaeglow", "temperature": 1, "minus": {"model": "glow", "temperature": 0}}
    table = {"kind": "differences", "title": "t", "caption": "c", "rows": [row]}
    whole = effective(merge(shipped_config(), {"tables": {"pairs": table}}), "demo")
    needs = plan.needs(whole, "tables", "pairs")
    kinds = ("metrics", "likelihood", "likelihood_images", "training")
    assert {(need["model"], need["what"]) for need in needs} == {(m, k) for m in ("vaeglow", "glow") for k in kinds}
    drawn = {(need["model"], need["temperature"]) for need in needs if need["what"] == "metrics"}
    assert drawn == {("vaeglow", 1.0), ("glow", 0.0)}


PAIR = {"model": "vaeglow", "temperature": 0.5}
MINUS = {"model": "glow", "temperature": 1.0}


@pytest.mark.parametrize(
    ("table", "rows", "says"),
    [
        ("differences", [{**PAIR, "minus": PAIR}], r"differences: vaeglow at 0\.5 is compared with itself"),
        ("differences", [{**PAIR, "minus": {**MINUS, "model": "glwo"}}], r"unknown model 'glwo' \(did you mean 'glow'"),
        ("differences", [{**PAIR, "minus": {"model": "glow"}}], r"rows\.0\.minus.* lacks the key 'temperature'"),
        ("differences", [PAIR], r"tables\.differences\.rows\.0' lacks the key 'minus'"),
        ("differences", [{**PAIR, "minus": MINUS}] * 2, r"minus: .*glow.* is listed twice"),
        ("table2", [{**PAIR, "minus": MINUS}], "minus"),
    ],
)
def test_a_slip_in_a_pair_is_one_line(table, rows, says):
    with pytest.raises(UserError, match=says) as caught:
        checked(json.dumps({"tables": {table: {"rows": rows}}}))
    assert "\n" not in str(caught.value)
