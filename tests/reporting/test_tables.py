"""Every kind of table: what a reader sees and all numbers, and which results are refused."""

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_tools import shipped_config
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
from vaeglow.files import read_csv
from vaeglow.reporting import traced
from vaeglow.reporting.tables import ESCAPES, page
from vaeglow.results import read_result

EXPECTED = Path(__file__).parent / "expected"
VAE, OURS, METRICS = "demo/photos32/vae/seed0", "demo/photos32/vaeglow/seed0", "metrics/test-500-64/"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_results(tmp_path / "results")


@pytest.mark.parametrize("name", SPECS)
def test_each_table_has_the_expected_numbers_words_and_notes(name, results):
    """As in `expected/`, for a change on purpose written anew to the test's folder: the CSV on its side, untraced."""
    run_table(results, SPECS[name])
    path = results / f"demo/tables/{name}.csv"
    table, plain = (pd.read_csv(one, dtype=str, keep_default_na=False) for one in (path.with_suffix(traced.FULL), path))
    own = [name for name in table if name not in traced.COLUMNS]
    ends = [name for name in own[15:] if name.rpartition("_")[0] in own[:15] and name.endswith(("_lower", "_upper"))]
    assert [*plain] == own[:15] + [name for name in ends if table[name].any()] and plain.equals(table[list(plain)])
    found = {".csv": table.drop(columns=[*traced.COLUMNS]).T.to_csv(header=False), ".md": form(results, SPECS[name])}
    for suffix, text in found.items():
        (results.parent / f"{name}{suffix}").write_text(text)
        assert text == (EXPECTED / f"{name}{suffix}").read_text(encoding="utf-8")


def test_the_plain_csv_has_what_a_reader_asks_for(results):
    run_table(results, SPECS["table2"])
    plain = set(read_csv(results / "demo/tables/table2.csv")[0])
    asked = "model fid bits_per_dim bound source dataset preset fid_samples temperature"
    assert plain >= set(asked.split())


@pytest.mark.parametrize(
    ("name", "file", "values", "says"),
    [
        ("table2", f"{VAE}/training.json", {"preset": "paper"}, "preset is 'paper'"),
        ("table2", f"{VAE}/{METRICS}T0.0.json", {"fid_samples": 400}, "fid_samples is 400"),
        ("table2", f"{VAE}/{METRICS}T0.0.json", {"fid_sets": 2}, "fid_sets is 2, expected 1"),
        ("table2", f"{VAE}/{METRICS}T0.0.json", {"split": "val"}, "split is 'val'"),
        ("table2", f"{VAE}/{METRICS}T0.0.json", {"temperature": 0.5}, "temperature is 0.5"),
        ("table2", f"{VAE}/{METRICS}T0.0.json", {"weights_sha256": "old"}, "differ in weights_sha256"),
        ("table2", f"{VAE}/likelihood.json", {"images": 10}, "differ in images"),
        ("table2", f"{VAE}/likelihood.json", {"dequantisation": "none"}, "differ in dequantisation"),
        ("table2", f"{VAE}/{METRICS}T0.0.json", {"fid": None}, "fid is None"),
        ("layer_action", f"{OURS}/layer_action.json", {"sharpness": {"vae": 0.1}}, "lacks 'vae_noisy'"),
        ("linear_reference", f"{OURS}/config.json", {"layer": {"squeeze": 4}}, r"differ in .*config\.json"),
        ("linear_reference", f"{VAE}/linear_reference.json", {"data_sha256": "other"}, "differ in data_sha256"),
        ("differences", f"{OURS}/likelihood.json", {"inputs": {}, "seed": 1}, "seed is 1, expected 0"),
        ("table4", "paper/photos32/timing.json", {"models": {"glow": timed("glow", 1)}}, "lacks 'vae'"),
        ("table4", "paper/photos32/timing.json", {"preset": "demo"}, "preset is 'demo'"),
        (
            "table4",
            "paper/photos32/timing.json",
            {"models": dict.fromkeys(SECONDS, timed("vae", math.nan))},
            "does not hold a finite",
        ),
    ],
)
def test_a_file_that_does_not_belong_is_refused_and_nothing_is_written(results, name, file, values, says):
    change(results / file, **values)
    with pytest.raises(UserError, match=says) as caught:
        run_table(results, SPECS[name])
    assert "\n" not in str(caught.value)
    assert not (results / "demo/tables").exists()


def test_a_column_there_is_not_is_named(results):
    with pytest.raises(UserError, match=r"no column 'fied' \(did you mean 'fid'\?\)"):
        run_table(results, SPECS["table2"] | {"show": ["model", "fied"]})


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
def test_differences_are_paired_by_seed_and_image_with_the_ledger_s_interval(results, seeds):
    spec = SPECS["differences"] | {"seeds": seeds}
    found = run_table(results, spec)[0]
    bits = np.stack([image_bits("vaeglow", seed) - image_bits("glow", seed) for seed in seeds])
    fids = np.array([[FIDS["vaeglow"][seed] - FIDS["glow"][seed]] for seed in seeds])
    for name, each, within in (("bits_per_dim", bits, 1e-4), ("fid", fids, 0.01), ("kid", fids / 1000, 1e-5)):
        assert float(found[f"difference_{name}"]) == pytest.approx(each.mean(), abs=within)
        number = {end: found[f"difference_{name}_{end}"] for end in ("sd", "lower", "upper")}
        if len(seeds) == 1:
            assert not any(number.values()) and "One seed (0): how much another pair" in form(results, spec)
        else:
            sd = each.mean(1).std(ddof=1)
            half = 4.302653 * sd / np.sqrt(3)
            ends = [sd, each.mean() - half, each.mean() + half]
            assert [*map(float, number.values())] == pytest.approx(ends, abs=within)
    error = bits.mean(0).std(ddof=1) / np.sqrt(IMAGES)
    assert float(found["difference_bits_per_dim_standard_error"]) == pytest.approx(error, abs=1e-4)
    path = results / "demo/tables/differences.csv"
    ends = {f"difference_{name}_{end}" for name in ("fid", "kid", "bits_per_dim") for end in ("lower", "upper")}
    assert ends & {*read_csv(path)[0]} == (ends if len(seeds) == 3 else set()) and traced.read_table(path) == {}


def test_samples_too_few_for_a_kid_leave_its_cells_empty(results):
    change(results / f"demo/photos32/glow/seed0/{METRICS}T1.0.json", kid=None, kid_standard_error=None)
    found = run_table(results, SPECS["differences"] | {"seeds": [0]})[0]
    assert found["difference_kid"] == found["difference_kid_standard_error"] == "" and found["difference_fid"]


def test_models_without_a_temperature_or_a_likelihood_leave_these_cells_empty(results):
    """And the page says whose bits/dim are of discrete images."""
    write_run(results, "pixelcnn", [1.0], fid=50.0, likelihood_images=IMAGES)
    write_run(results, "pixeliqn", [1.0], fid=45.0, likelihood_images=IMAGES)
    change(results / "demo/photos32/pixelcnn/seed0/likelihood.json", dequantisation=None, bound="=")
    nothing = {"bits_per_dim": None, "standard_error": None, "dequantisation": None, "bound": ""}
    change(results / "demo/photos32/pixeliqn/seed0/likelihood.json", **nothing)
    models = {"pixelcnn": "PixelCNN", "pixeliqn": "PixelIQN"}
    spec = {**SPECS["table2"], "published": None, "rows": [row(model, 1.0) for model in (*models, "glow")]}
    spec["styles"] |= {model: {"label": label, "temperature": False} for model, label in models.items()}
    spec["show"] = ["model", "temperature", "fid", "bits_per_dim"]
    cnn, iqn, glow = run_table(results, spec)
    assert (cnn["model"], cnn["temperature"], cnn["dequantisation"], cnn["bound"]) == ("PixelCNN", "", "none", "=")
    assert (iqn["bits_per_dim"], iqn["temperature"], iqn["fid"]) == ("", "", "45.00") and cnn["bits_per_dim"]
    assert (glow["temperature"], glow["dequantisation"]) == ("1.0", "uniform")
    text = form(results, spec)
    assert "| PixelIQN | - | 45.00 | - |" in re.sub(" +", " ", text)
    assert f"{IMAGES} test images, uniform dequantisation noise" in text
    assert "\n- PixelCNN: bits/dim of the discrete images themselves" in text


def test_a_note_says_which_rows_are_left_out(results):
    spec = {**SPECS["table2"], "left_out": ["no grey images"]}
    run_table(results, spec)
    assert "\n- Left out: no grey images.\n" in form(results, spec)


def test_seconds_are_of_the_seeds_trained_on_one_machine_and_the_page_says_so(results):
    one, two = ({**SPECS["table2"], "published": None, "seeds": seeds} for seeds in ([0], [0, 1]))
    made = read_result(path := results / f"{VAE.replace('seed0', 'seed1')}/training.json").value("provenance")
    change(path, train_seconds_by_phase=[1.0])
    alone = [row["train_seconds"] for row in run_table(results, one)]
    assert all(alone) and alone != [row["train_seconds"] for row in run_table(results, two)]
    assert "Trained on several machines" not in form(results, two)
    change(path, device_by_phase=["B CPU", made["device"]])  # its base's machine counts, too
    assert [row["train_seconds"] for row in run_table(results, two)] == alone
    change(path, device_by_phase=None, provenance=made | {"device": "B CPU"})
    assert [row["train_seconds"] for row in run_table(results, two)] == alone
    assert f"are of seed 0, all trained on {made['device']}" in form(results, two)
    change(results / f"{VAE}/training.json", provenance=made | {"device": "B CPU"})
    assert not any(row["train_seconds"] or row["train_cpu_seconds"] for row in run_table(results, two))
    assert "Trained on several machines" in form(results, two)


def test_the_evidence_names_every_file_of_both_sides(results):
    found = traced.evidence_of(run_table(results, SPECS["differences"] | {"seeds": [0, 1]})[0])
    files = ("training.json", "likelihood.json", "likelihood.npz")
    drawn = {"vaeglow": f"{METRICS}T0.5.json", "glow": f"{METRICS}T1.0.json"}
    assert {Path(path).relative_to(results / "demo/photos32").as_posix() for path in found} == {
        f"{model}/seed{seed}/{file}" for model in drawn for seed in (0, 1) for file in (*files, drawn[model])
    }
    rows = run_table(results, SPECS["linear_reference"])
    assert [row["evidence"].count(".json") for row in rows] == [3, 1, 3, 1, 1, 2]
    average = next(row for row in run_table(results, SPECS["table4"]) if row["origin"] == "mean of vae and vaeglow")
    assert average["config_sha256"] == "c-vaeglow; c-vae; c-glow"


def test_a_ratio_is_by_all_timings_that_were_kept(results):
    path = results / "paper/photos32/timing.json"
    for factor, start in ((2, "old"), (4, "older")):  # beside 1
        write_timing(results, 1, glow=timed("glow", 512 * factor))
        content = read_result(path).content
        made = content["provenance"] | {"started": start}
        save(path.parent / f"timings/{start}.json", content | {"provenance": made})
    write_timing(results, 1)
    average = next(row for row in run_table(results, SPECS["table4"]) if row["speed_up_high"] == "14.6")
    assert [average[f"speed_up{end}"] for end in ("", "_low", "_high")] == ["7.31", "3.66", "14.6"]
    assert [average[f"speed_up_{end}"] for end in ("lower", "upper")] == ["1.31", "40.9"]
    assert average["timings"] == "3" and average["evidence"].count("timings/") == 2
    assert "7.31 [1.31, 40.9] (3.66 to 14.6)" in form(results, SPECS["table4"])


def test_a_layer_needs_its_vae_and_a_speed_up_needs_a_glow(results):
    lonely = SPECS["table4"] | {"presets": ["paper"], "rows": [row("vaeglow", preset="paper", base="vae")]}
    with pytest.raises(UserError, match=r"tables\.table4: model vaeglow has base vae: give vae a row too"):
        run_table(results, lonely)
    assert run_table(results, lonely | {"rows": [row("vae", preset="paper"), *lonely["rows"]]})[-1]["speed_up"] == ""


def test_training_time_is_that_of_all_phases_round_by_round_beside_a_glow(results):
    """And on a GPU of seconds on the clock, which here are twice the CPU's for all models but Glow."""
    spec, path = SPECS["training_time"], results / "demo/photos32/timing.json"
    slow = timed("glow", SECONDS["glow"] * 0.01)
    slow["training"]["seconds"] = [
        one * factor for one, factor in zip(slow["training"]["seconds"], (1, 2, 4), strict=True)
    ]
    change(path, models=read_result(path).content["models"] | {"glow": slow}, device_kind="cuda")
    ours = run_table(results, spec)[0]
    whole = (5 * SECONDS["vae"] + 4 * SECONDS["vaeglow"]) / (10 * SECONDS["glow"])
    names = ("training_ratio", "training_ratio_low", "training_ratio_high")
    assert [float(ours[name]) for name in names] == pytest.approx([whole / 2, whole / 4, whole], rel=5e-3)
    with pytest.raises(UserError, match=r"tables\.training_time: dataset photos32 has no Glow to compare with"):
        run_table(results, spec | {"rows": spec["rows"][:1]})


def test_latex_has_the_rows_of_the_markdown_form_balances_and_escapes(results):
    """Nothing is compiled here."""
    rows = [row("vaeglow", 0.5, label="ours_new #1 ~ 10% ^2 \\x"), row("vae", 0.0)]
    title = "Table 2: FID & bits_per_dim at 50% of {all} $"
    spec = SPECS["table2"] | {"rows": rows, "seeds": [0, 1], "title": title}
    run_table(results, spec)
    comments, _, table = form(results, spec, ".tex").partition(r"\begin{table}")
    assert all(line.startswith("% ") for line in comments.splitlines())
    assert "Demo scale" in comments and "booktabs" in comments
    plain = re.sub(r"\\[{}]", "", table)
    assert plain.count("{") == plain.count("}") and table.count(r"\begin{") + 1 == table.count(r"\end{")
    assert [table.count(f"\\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 1, 1]
    assert r"\caption{FID \& bits\_per\_dim at 50\% of \{all\} \$. Preset demo (demo scale)." in table
    assert r"\label{tab:table2}" in table and r"$\leq$ " in table and r" $\pm$ " in table
    assert r"ours\_new \#1 \textasciitilde{} 10\% \textasciicircum{}2 \textbackslash{}x" in table
    sides, inner = re.search(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", table, re.DOTALL).groups()
    lines = [line for line in inner.splitlines() if not re.fullmatch(r"\\(top|mid|bottom)rule", line)]
    header, *rows = ([cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r" \\"))] for line in lines)
    assert rows == [[value.translate(ESCAPES) for value in cells.values()] for cells in shown(results, spec)]
    for cell in (cell for cells in [header, *rows] for cell in cells):
        left = re.sub(r"\\[&%$#_{}]|\\text[a-z]+\{\}|\$\\(leq|pm)\$|\$[<>|]\$", "", cell)
        assert not re.search(r"[&%#_~^<>|≤±$\\{}]", left), cell
    side = dict(zip(header, sides, strict=True))
    assert (side["FID"], side["bits/dim"], side["Model"], side["Source"]) == ("r", "r", "l", "l")


def test_a_page_has_the_table_and_its_notes_fetches_nothing_and_runs_nothing():
    text = page(
        "# Table 2: a & b\n\n| FID | bits/dim |\n|--|:-|\n| <script> | ≤ 3.17 |\n\n- **Demo**: `x`, x < y\n- two\n"
    )
    assert '"long"' not in text and page(f"# A\n\n| B |\n|:--|\n| {'c ' * 20} |\n").count('<td class="long" style') == 1
    assert [text.count(f"<{tag}>") for tag in ("table", "tr", "li", "strong", "code")] == [1, 2, 2, 1, 1]
    assert "<title>Table 2: a &amp; b</title>" in text and "≤ 3.17" in text
    assert "href" not in text and "src" not in text
    assert "<script" not in text and "&lt;script&gt;" in text and "&amp;lt;" not in text


def test_a_protocol_says_all_four_things_in_a_spec():
    changes = {"presets": {"demo": {"protocols": {"test-64-2048": {"sets": 4}}}}}
    view = effective(merge(shipped_config(), changes), "demo")
    for name, protocol in view["protocols"].items():
        found = plan.protocol(view, name)
        assert set(found) == {"split", "images", "features", "sets"} and protocol.items() <= found.items()
    assert plan.spec(view, "tables", "table2")["sets"] == 4
    assert plan.sample_counts(view, "photos32", "vaeglow", 0.5)["count"] == 256


def test_a_table_of_differences_reads_both_sides_of_each_pair():
    pair = {"model": "vaeglow", "temperature": 1, "minus": {"model": "glow", "temperature": 0}}
    table = {"kind": "differences", "title": "t", "caption": "c", "rows": [pair]}
    needs = plan.needs(effective(merge(shipped_config(), {"tables": {"pairs": table}}), "demo"), "tables", "pairs")
    kinds = ("metrics", "likelihood", "likelihood_images", "training")
    assert {(need["model"], need["what"]) for need in needs} == {(m, k) for m in ("vaeglow", "glow") for k in kinds}
    drawn = {(need["model"], need["temperature"]) for need in needs if need["what"] == "metrics"}
    assert drawn == {("vaeglow", 1.0), ("glow", 0.0)}
