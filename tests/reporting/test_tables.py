"""Every kind of table: what a reader sees and all numbers, and which results are refused."""

import re
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from run_tools import shipped_config
from scipy.stats import ttest_1samp
from table_tools import (
    FIDS,
    IMAGES,
    SECONDS,
    SPECS,
    change,
    form,
    image_bits,
    row,
    run_table,
    save,
    shown,
    timed,
    write_results,
    write_run,
    write_timing,
)

from vaeglow.config import effective, merge, plan
from vaeglow.errors import UserError
from vaeglow.reporting import traced
from vaeglow.reporting.templates import ESCAPES, page
from vaeglow.results import read_result

EXPECTED = Path(__file__).parent / "expected"
VAE = "demo/photos32/vae/seed0"
METRICS = "metrics/test-500-64"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_results(tmp_path / "results")


def tables(results: Path, name: str) -> list[pd.DataFrame]:
    """The plain CSV, and the one with all columns."""
    path = results / f"demo/tables/{name}.csv"
    return [pd.read_csv(form, dtype=str, keep_default_na=False) for form in (path, path.with_suffix(traced.FULL))]


@pytest.mark.parametrize("name", SPECS)
def test_each_table_has_the_expected_numbers_words_and_notes(name, results):
    """As in `expected/`, for a change on purpose written anew to the test's folder: the CSV on its side, untraced."""
    run_table(results, SPECS[name])
    plain, table = tables(results, name)
    untraced = table.drop(columns=[*traced.COLUMNS])
    texts = {".csv": untraced.T.to_csv(header=False), ".md": form(results, SPECS[name])}
    for suffix, text in texts.items():
        (results.parent / f"{name}{suffix}").write_text(text)
        assert text == (EXPECTED / f"{name}{suffix}").read_text(encoding="utf-8")
    first = list(untraced.columns[:15])
    ends = [f"{column}_{end}" for column in first for end in ("lower", "upper")]
    later = [column for column in untraced.columns[15:] if column in ends and table[column].any()]
    assert plain.equals(table[first + later])


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


@pytest.mark.parametrize(("name", "file", "values", "says"), REFUSED)
def test_a_file_that_does_not_belong_is_refused_and_nothing_is_written(results, name, file, values, says):
    change(results / "demo/photos32" / file, **values)
    refused(results, SPECS[name], says)


def test_times_that_are_not_finite_are_refused(results):
    write_timing(results, 1, vae=timed("vae", np.nan))
    refused(results, SPECS["table4"], "does not hold a finite")


def refused(results: Path, spec: dict[str, Any], says: str) -> None:
    """In one line, and nothing is written."""
    with pytest.raises(UserError, match=says) as caught:
        run_table(results, spec)
    assert "\n" not in str(caught.value)
    assert not (results / "demo/tables").exists()


def test_a_column_there_is_not_is_named(results):
    refused(results, SPECS["table2"] | {"show": ["model", "fied"]}, r"no column 'fied' \(did you mean 'fid'\?\)")


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
def test_differences_are_paired_by_seed_and_image_with_the_ledger_s_interval(results, seeds):
    spec = SPECS["differences"] | {"seeds": seeds}
    difference = run_table(results, spec)[0]
    bits = np.stack([image_bits("vaeglow", seed) - image_bits("glow", seed) for seed in seeds])
    fids = np.subtract(FIDS["vaeglow"], FIDS["glow"])[seeds]
    plain, _ = tables(results, "differences")
    for name, each, within in (("bits_per_dim", bits.mean(1), 1e-4), ("fid", fids, 0.01), ("kid", fids / 1000, 1e-5)):
        column = f"difference_{name}"
        assert float(difference[column]) == pytest.approx(each.mean(), abs=within)
        spread = [difference[f"{column}_{end}"] for end in ("sd", "lower", "upper")]
        assert (f"{column}_lower" in plain) == (f"{column}_upper" in plain) == (len(seeds) == 3)
        if len(seeds) == 1:
            assert spread == ["", "", ""]
        else:
            ends = ttest_1samp(each, 0).confidence_interval()
            assert [float(cell) for cell in spread] == pytest.approx([each.std(ddof=1), *ends], abs=within)
    assert ("One seed (0): how much another pair" in form(results, spec)) == (len(seeds) == 1)
    error = bits.mean(0).std(ddof=1) / np.sqrt(IMAGES)
    assert float(difference["difference_bits_per_dim_standard_error"]) == pytest.approx(error, abs=1e-4)
    assert traced.read_table(results / "demo/tables/differences.csv") == {}


def test_samples_too_few_for_a_kid_leave_its_cells_empty(results):
    change(results / f"demo/photos32/glow/seed0/{METRICS}/T1.0.json", kid=None, kid_standard_error=None)
    difference = run_table(results, SPECS["differences"] | {"seeds": [0]})[0]
    assert difference["difference_kid"] == difference["difference_kid_standard_error"] == ""
    assert difference["difference_fid"]


def test_models_without_a_temperature_or_a_likelihood_leave_these_cells_empty(results):
    """And the page says whose bits/dim are of discrete images."""
    spec = {**SPECS["table2"], "published": None, "show": ["model", "temperature", "fid", "bits_per_dim"]}
    spec["rows"] = [row(model, 1.0) for model in ("pixelcnn", "pixeliqn", "glow")]
    styles = {"pixelcnn": "PixelCNN", "pixeliqn": "PixelIQN"}
    spec["styles"] |= {model: {"label": label, "temperature": False} for model, label in styles.items()}
    for model in styles:
        write_run(results, model, [1.0], fid=45.0, likelihood_images=IMAGES)
    change(results / "demo/photos32/pixelcnn/seed0/likelihood.json", dequantisation=None, bound="=")
    nothing = {"bits_per_dim": None, "standard_error": None, "dequantisation": None, "bound": ""}
    change(results / "demo/photos32/pixeliqn/seed0/likelihood.json", **nothing)
    cnn, iqn, glow = run_table(results, spec)
    names = ["model", "temperature", "dequantisation", "bound"]
    assert [cnn[name] for name in names] == ["PixelCNN", "", "none", "="]
    assert cnn["bits_per_dim"]
    assert [iqn[name] for name in names] == ["PixelIQN", "", "none", ""]
    assert iqn["bits_per_dim"] == ""
    assert [glow[name] for name in names] == ["Glow, T=1.0", "1.0", "uniform", "="]
    assert shown(results, spec)[1][:4] == ["PixelIQN", "-", "45.00", "-"]
    text = form(results, spec)
    assert f"{IMAGES} test images, uniform dequantisation noise" in text
    assert "\n- PixelCNN: bits/dim of the discrete images themselves" in text


def test_a_note_says_which_rows_are_left_out(results):
    spec = {**SPECS["table2"], "left_out": ["no grey images"]}
    run_table(results, spec)
    assert "\n- Left out: no grey images.\n" in form(results, spec)


def test_seconds_are_of_the_seeds_trained_on_one_machine_and_the_page_says_so(results):
    spec = {**SPECS["table2"], "published": None, "seeds": [0, 1]}

    def seconds(seeds: list[int]) -> list[str]:
        return [row["train_seconds"] for row in run_table(results, spec | {"seeds": seeds})]

    path = results / VAE.replace("seed0", "seed1") / "training.json"
    made = read_result(path).value("provenance")
    change(path, train_seconds_by_phase=[1.0])
    alone = seconds([0])
    assert all(alone)
    assert alone != seconds([0, 1])
    assert "Trained on several machines" not in form(results, spec)
    change(path, device_by_phase=["B CPU", made["device"]])  # its base's machine counts, too
    assert seconds([0, 1]) == alone
    change(path, device_by_phase=None, provenance=made | {"device": "B CPU"})
    assert seconds([0, 1]) == alone
    assert f"are of seed 0, all trained on {made['device']}" in form(results, spec)
    change(results / VAE / "training.json", provenance=made | {"device": "B CPU"})
    assert not any(seconds([0, 1]))
    assert "Trained on several machines" in form(results, spec)


def test_the_evidence_names_every_file_of_both_sides(results):
    row, _ = run_table(results, SPECS["differences"] | {"seeds": [0, 1]})
    named = {Path(path).relative_to(results / "demo/photos32").as_posix() for path in traced.evidence_of(row)}
    expected = set()
    for run, metrics in (("vaeglow/seed{}", "T0.5.json"), ("glow/seed{}", "T1.0.json")):
        files = ("training.json", "likelihood.json", "likelihood.npz", f"{METRICS}/{metrics}")
        expected |= {f"{run.format(seed)}/{file}" for seed in (0, 1) for file in files}
    assert named == expected
    rows = run_table(results, SPECS["linear_reference"])
    assert [row["evidence"].count(".json") for row in rows] == [3, 1, 3, 1, 1, 2]
    average = mean_of_both(run_table(results, SPECS["table4"]))
    assert average["config_sha256"] == "c-vaeglow; c-vae; c-glow"


def mean_of_both(rows: list[dict[str, str]], preset: str = "demo") -> dict[str, str]:
    """The row of the mean of the VAE and the Glow layer."""
    [average] = [row for row in rows if (row["origin"], row["preset"]) == ("mean of vae and vaeglow", preset)]
    return average


def test_a_ratio_is_by_all_timings_that_were_kept(results):
    path = results / "paper/photos32/timing.json"
    for factor, start in ((2, "old"), (4, "older")):  # beside 1
        write_timing(results, 1, glow=timed("glow", 512 * factor))
        content = read_result(path).content
        made = content["provenance"] | {"started": start}
        save(path.parent / f"timings/{start}.json", content | {"provenance": made})
    write_timing(results, 1)
    average = mean_of_both(run_table(results, SPECS["table4"]), "paper")
    assert [average[f"speed_up{end}"] for end in ("", "_low", "_high")] == ["7.31", "3.66", "14.6"]
    assert [average[f"speed_up_{end}"] for end in ("lower", "upper")] == ["1.31", "40.9"]
    assert average["timings"] == "3"
    assert average["evidence"].count("timings/") == 2
    assert "7.31 [1.31, 40.9] (3.66 to 14.6)" in form(results, SPECS["table4"])


def test_a_layer_needs_its_vae_and_a_speed_up_needs_a_glow(results):
    layer = row("vaeglow", base="vae")
    spec = SPECS["table4"] | {"presets": ["demo"], "rows": [layer]}
    refused(results, spec, r"tables\.table4: model vaeglow has base vae: give vae a row too")
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
    assert ratios == pytest.approx([whole / 2, whole / 4, whole], rel=5e-3)


def test_latex_has_the_rows_of_the_markdown_form_balances_and_escapes(results):
    """Nothing is compiled here."""
    rows = [row("vaeglow", 0.5, label="ours_new #1 ~ 10% ^2 \\x"), row("vae", 0.0)]
    title = "Table 2: FID & bits_per_dim at 50% of {all} $"
    spec = SPECS["table2"] | {"rows": rows, "seeds": [0, 1], "title": title}
    run_table(results, spec)
    comments, _, latex = form(results, spec, ".tex").partition(r"\begin{table}")
    assert all(line.startswith("% ") for line in comments.splitlines())
    assert "Demo scale" in comments
    assert "booktabs" in comments
    unescaped = re.sub(r"\\[{}]", "", latex)
    assert unescaped.count("{") == unescaped.count("}")
    assert latex.count(r"\begin{") + 1 == latex.count(r"\end{")
    assert r"\caption{FID \& bits\_per\_dim at 50\% of \{all\} \$. Preset demo (demo scale)." in latex
    assert r"\label{tab:table2}" in latex
    assert r"$\leq$ " in latex
    assert r" $\pm$ " in latex
    assert r"ours\_new \#1 \textasciitilde{} 10\% \textasciicircum{}2 \textbackslash{}x" in latex
    tabular = re.search(r"\\begin\{tabular\}\{([lr]+)\}\n(.*)\n\\end\{tabular\}", latex, re.DOTALL)
    top, header, middle, *body, bottom = tabular[2].splitlines()
    assert [top, middle, bottom] == [r"\toprule", r"\midrule", r"\bottomrule"]
    names, *written = (line.removesuffix(r" \\").split(" & ") for line in (header, *body))
    assert written == [[cell.translate(ESCAPES) for cell in cells] for cells in shown(results, spec)]
    for cell in chain(names, *written):
        left = re.sub(r"\\[&%$#_{}]|\\text[a-z]+\{\}|\$\\(leq|pm)\$|\$[<>|]\$", "", cell)
        assert not re.search(r"[&%#_~^<>|≤±$\\{}]", left), cell
    side = dict(zip(names, tabular[1], strict=True))
    assert (side["FID"], side["bits/dim"], side["Model"], side["Source"]) == ("r", "r", "l", "l")


def test_a_page_has_the_table_and_its_notes_fetches_nothing_and_runs_nothing():
    table = "| FID | bits/dim |\n|--|:-|\n| <script> | ≤ 3.17 |\n"
    text = page(f"# Table 2: a & b\n\n{table}\n- **Demo**: `x`, x < y\n- two\n")
    assert [text.count(f"<{tag}>") for tag in ("table", "tr", "li", "strong", "code")] == [1, 2, 2, 1, 1]
    assert "<title>Table 2: a &amp; b</title>" in text
    assert "≤ 3.17" in text
    assert "href" not in text
    assert "src" not in text
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "&amp;lt;" not in text
    wide = page(f"# A\n\n| B |\n|:--|\n| {'c ' * 20} |\n")
    assert '"long"' not in text
    assert wide.count('<td class="long" style') == 1


def test_a_protocol_says_all_four_things_in_a_spec():
    changes = {"presets": {"demo": {"protocols": {"test-64-2048": {"sets": 4}}}}}
    view = effective(merge(shipped_config(), changes), "demo")
    for name, protocol in view["protocols"].items():
        filled = plan.protocol(view, name)
        assert set(filled) == {"split", "images", "features", "sets"}
        assert protocol.items() <= filled.items()
    assert plan.spec(view, "tables", "table2")["sets"] == 4
    assert plan.sample_counts(view, "photos32", "vaeglow", 0.5)["count"] == 256


def test_a_table_of_differences_reads_both_sides_of_each_pair():
    pair = {"model": "vaeglow", "temperature": 1, "minus": {"model": "glow", "temperature": 0}}
    table = {"kind": "differences", "title": "t", "caption": "c", "rows": [pair]}
    needs = plan.needs(effective(merge(shipped_config(), {"tables": {"pairs": table}}), "demo"), "tables", "pairs")
    kinds = ("training", "likelihood", "likelihood_images", "metrics")
    expected = set()
    for model, temperature in (("vaeglow", 1.0), ("glow", 0.0)):
        expected |= {(model, kind, temperature if kind == "metrics" else None) for kind in kinds}
    assert {(need["model"], need["what"], need.get("temperature")) for need in needs} == expected
