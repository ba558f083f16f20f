"""Every kind of table: what a reader sees and all numbers, and which results are refused."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from pytest import approx
from refusals import user_error
from run_tools import shipped_config
from scipy.stats import sem, ttest_1samp
from table_tools import (
    FIDS,
    IMAGES,
    SECONDS,
    SPECS,
    as_expected,
    change,
    form,
    image_bits,
    row,
    run_table,
    save,
    timed,
    write_results,
    write_run,
    write_timing,
)

from vaeglow.config import merge, plan, view_of
from vaeglow.reporting import traced
from vaeglow.reporting.figures import Sources
from vaeglow.reporting.templates import page
from vaeglow.results import read_result

VAE = "demo/photos32/vae/seed0"
METRICS = "metrics/test-500-64"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_results(tmp_path / "results")


def expected_forms(results: Path, spec: dict[str, Any]) -> list[pd.DataFrame]:
    """Both forms as in `expected/`, the CSV on its side, untraced; the plain CSV, and the one with all columns."""
    run_table(results, spec)
    name = spec["name"]
    path = results / f"demo/tables/{name}.csv"
    tables = [pd.read_csv(form, dtype=str, keep_default_na=False) for form in (path, path.with_suffix(traced.FULL))]
    untraced = tables[1].drop(columns=[*traced.COLUMNS])
    as_expected(results.parent / f"{name}.csv", untraced.T.to_csv(header=False))
    as_expected(results.parent / f"{name}.md", form(results, spec))
    return tables


@pytest.mark.parametrize("name", SPECS)
def test_each_table_has_the_expected_numbers_words_and_notes(name, results):
    plain, table = expected_forms(results, SPECS[name])
    assert plain.equals(table[list(plain)])
    assert all(column in plain or column in traced.COLUMNS for column in table.columns[:15])


REFUSED = yaml.safe_load("""
- [table2, vae/seed0/training.json, {preset: paper}, "preset is 'paper'"]
- [table2, vae/seed0/metrics/test-500-64/T0.0.json, {fid_samples: 400}, fid_samples is 400]
- [table2, vae/seed0/metrics/test-500-64/T0.0.json, {fid_sets: 2}, "fid_sets is 2, expected 1"]
- [table2, vae/seed0/metrics/test-500-64/T0.0.json, {split: val}, split is 'val']
- [table2, vae/seed0/metrics/test-500-64/T0.0.json, {temperature: 0.5}, temperature is 0.5]
- [table2, vae/seed0/metrics/test-500-64/T0.0.json, {weights_sha256: old}, differ in weights_sha256]
- [table2, vae/seed0/likelihood.json, {images: 10}, differ in images]
- [table2, vae/seed0/likelihood.json, {dequantisation: none}, differ in dequantisation]
- [table2, vae/seed0/metrics/test-500-64/T0.0.json, {fid: null}, fid is None]
- [layer_action, vaeglow/seed0/layer_action.json, {sharpness: {vae: 0.1}}, lacks 'vae_noisy']
- [linear_reference, vaeglow/seed0/config.json, {layer: {squeeze: 4}}, 'differ in .*config\\.json']
- [linear_reference, vae/seed0/linear_reference.json, {data_sha256: other}, differ in data_sha256]
- [differences, vaeglow/seed0/likelihood.json, {inputs: {}, seed: 1}, "seed is 1, expected 0"]
- [table4, timing.json, {models: {glow: {kind: glow}}}, lacks 'vae']
- [table4, timing.json, {preset: paper}, preset is 'paper']
""")


@pytest.mark.parametrize("name, file, values, says", REFUSED)
def test_a_file_that_does_not_belong_is_refused_and_nothing_is_written(results, name, file, values, says):
    change(results / "demo/photos32" / file, **values)
    refused(results, SPECS[name], says)


def test_times_that_are_not_finite_are_refused(results):
    write_timing(results, 1, vae=timed("vae", np.nan))
    refused(results, SPECS["table4"], "does not hold a finite")


def refused(results: Path, spec: dict[str, Any], says: str) -> None:
    """In one line, and nothing is written."""
    with user_error(says):
        run_table(results, spec)
    assert not (results / "demo/tables").exists()


def test_a_table_says_that_its_real_images_are_training_images(results):
    for path in results.rglob("metrics/*/*.json"):
        change(path, split="train")
    spec = SPECS["table2"] | {"split": "train"}
    run_table(results, spec)
    assert "500 samples against 500 training images, 64 Inception features" in form(results, spec)
    assert "500 samples against 500 training images" in Sources(spec, results, results).protocol_note()


def test_a_column_there_is_not_is_named(results):
    refused(results, SPECS["table2"] | {"show": ["model", "fied"]}, r"no column 'fied' \(did you mean 'fid'\?\)")


def test_differences_are_paired_by_seed_and_image_with_the_ledger_s_interval(results):
    difference = run_table(results, SPECS["differences"])[0]
    bits = np.stack([image_bits("vaeglow", seed) - image_bits("glow", seed) for seed in range(3)])
    fids = np.subtract(FIDS["vaeglow"], FIDS["glow"])
    for name, each, within in (("bits_per_dim", bits.mean(1), 1e-4), ("fid", fids, 0.01)):
        shown = [float(difference[f"difference_{name}{end}"]) for end in ("", "_sd", "_lower", "_upper")]
        ends = ttest_1samp(each, 0).confidence_interval()
        assert shown == approx([each.mean(), each.std(ddof=1), *ends], abs=within)
    error = sem(bits.mean(0))
    assert float(difference["difference_bits_per_dim_standard_error"]) == approx(error, abs=1e-4)


def test_one_seed_and_samples_too_few_for_a_kid_leave_cells_empty(results):
    change(results / f"demo/photos32/glow/seed0/{METRICS}/T1.0.json", kid=None, kid_standard_error=None)
    spec = SPECS["differences"] | {"seeds": [0]}
    difference = run_table(results, spec)[0]
    empty = ("kid", "kid_standard_error", "fid_sd", "fid_lower", "fid_upper")
    assert not any(difference[f"difference_{name}"] for name in empty)
    assert difference["difference_fid"]
    assert "One seed (0): how much another pair" in form(results, spec)


def test_models_without_a_temperature_or_a_likelihood_leave_these_cells_empty(results):
    """And notes say whose bits/dim are of discrete images, and which rows are left out."""
    styles = {
        "pixelcnn": {"label": "PixelCNN", "temperature": False},
        "pixeliqn": {"label": "PixelIQN", "temperature": False},
    }
    for model in styles:
        write_run(results, model, [1.0], fid=45.0, likelihood_images=IMAGES)
    spec = SPECS["table2"] | {
        "name": "no_likelihood",
        "published": None,
        "left_out": ["no grey images"],
        "show": ["model", "temperature", "fid", "bits_per_dim"],
        "rows": [row(model, 1.0) for model in ("pixelcnn", "pixeliqn", "glow")],
        "styles": SPECS["table2"]["styles"] | styles,
    }
    change(results / "demo/photos32/pixelcnn/seed0/likelihood.json", dequantisation=None, bound="=")
    nothing = {
        "bits_per_dim": None,
        "standard_error": None,
        "dequantisation": None,
        "bound": "",
    }
    change(results / "demo/photos32/pixeliqn/seed0/likelihood.json", **nothing)
    expected_forms(results, spec)


def test_seconds_are_of_the_seeds_trained_on_one_machine_and_the_page_says_so(results):
    spec = {**SPECS["table2"], "published": None, "seeds": [0, 1]}

    def seconds(seeds: list[int]) -> list[str]:
        return [row["train_seconds"] for row in run_table(results, spec | {"seeds": seeds})]

    path = results / VAE.replace("seed0", "seed1") / "training.json"
    made = read_result(path).value("provenance")
    change(path, train_seconds_by_phase=[1.0])
    alone = seconds([0])
    assert alone != seconds([0, 1])
    change(path, device_by_phase=["B CPU", made["device"]])  # its base's machine counts, too
    assert seconds([0, 1]) == alone
    assert f"are of seed 0, all trained on {made['device']}" in form(results, spec)
    change(results / VAE / "training.json", provenance=made | {"device": "B CPU"})
    assert not any(seconds([0, 1]))
    assert "Trained on several machines" in form(results, spec)


def test_the_evidence_names_every_file_of_both_sides(results):
    row, _ = run_table(results, SPECS["differences"] | {"seeds": [0, 1]})
    files = ["*glow/seed[01]/training.json", "*glow/seed[01]/likelihood.*"]
    files += [f"vaeglow/seed[01]/{METRICS}/T0.5.json", f"glow/seed[01]/{METRICS}/T1.0.json"]
    paths = [sorted((results / "demo/photos32").glob(pattern)) for pattern in files]
    assert sorted(map(Path, traced.evidence_of(row))) == sorted(chain(*paths))
    rows = run_table(results, SPECS["linear_reference"])
    assert [row["evidence"].count(".json") for row in rows] == [3, 1, 3, 1, 1, 2]


def test_a_ratio_is_by_all_timings_that_were_kept(results):
    path = results / "paper/photos32/timing.json"
    for factor, start in ((2, "old"), (4, "older")):  # beside 1
        write_timing(results, 1, glow=timed("glow", 512 * factor))
        content = read_result(path).content
        made = content["provenance"] | {"started": start}
        save(path.parent / f"timings/{start}.json", content | {"provenance": made})
    write_timing(results, 1)
    rows = run_table(results, SPECS["table4"])
    assert ("3", 2) in [(row["timings"], row["evidence"].count("timings/")) for row in rows]
    assert "7.31 [1.31, 40.9] (3.66 to 14.6)" in form(results, SPECS["table4"])


def test_an_average_needs_the_vaes_row_and_a_speed_up_a_glows(results):
    layer = row("vaeglow", base="vae")
    spec = SPECS["table4"] | {"presets": ["demo"], "rows": [layer]}
    assert not any(line["origin"].startswith("mean of") for line in run_table(results, spec))
    assert run_table(results, spec | {"rows": [row("vae"), layer]})[-1]["speed_up"] == ""


def test_training_time_is_that_of_all_phases_round_by_round_beside_a_glow(results):
    """And on a GPU of seconds on the clock, which here are twice the CPU's for all models but Glow."""
    spec = SPECS["training_time"]
    refused(results, spec | {"rows": spec["rows"][:1]}, r"training_time: dataset photos32 has no Glow to compare with")
    path = results / "demo/photos32/timing.json"
    slow = timed("glow", SECONDS["glow"] * 0.01)
    slow["training"]["seconds"] = np.multiply(slow["training"]["seconds"], [1, 2, 4]).tolist()
    change(path, models=read_result(path).content["models"] | {"glow": slow}, device_kind="cuda")
    ours = run_table(results, spec)[0]
    whole = (5 * SECONDS["vae"] + 4 * SECONDS["vaeglow"]) / (10 * SECONDS["glow"])
    ratios = [float(ours[f"training_ratio{end}"]) for end in ("", "_low", "_high")]
    assert ratios == approx([whole / 2, whole / 4, whole], rel=5e-3)


def test_latex_is_as_expected_and_escapes_what_latex_reads(results):
    """Nothing is compiled here."""
    rows = [row("vaeglow", 0.5, label="ours_new #1 ~ 10% ^2 \\x"), row("vae", 0.0)]
    title = "Table 2: FID & bits_per_dim at 50% of {all} $"
    spec = SPECS["table2"] | {"rows": rows, "seeds": [0, 1], "title": title}
    run_table(results, spec)
    as_expected(results.parent / "latex.tex", form(results, spec, ".tex"))


def test_a_page_is_as_expected(tmp_path):
    """It has the table and its notes, fetches nothing and runs nothing; what is long may break."""
    table = f"| FID | bits/dim |\n|--|:-|\n| <script> | ≤ 3.17 |\n| {'c ' * 20} | 1 |\n"
    as_expected(tmp_path / "page.html", page(f"# Table 2: a & b\n\n{table}\n- **Demo**: `x`, x < y\n- two\n"))


def test_a_table_of_differences_reads_both_sides_of_each_pair():
    pair = {
        "model": "vaeglow",
        "temperature": 1,
        "minus": {"model": "glow", "temperature": 0},
    }
    table = {"kind": "differences", "title": "t", "caption": "c", "rows": [pair]}
    needs = plan.needs(view_of(merge(shipped_config(), {"tables": {"pairs": table}}), "demo"), "tables", "pairs")
    metrics = [(need["model"], need["temperature"]) for need in needs if need["what"] == "metrics"]
    assert metrics == [("vaeglow", 1.0), ("glow", 0.0)]
