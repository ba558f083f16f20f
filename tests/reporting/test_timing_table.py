"""Table 4 and sampling: averages, speed-ups and their ranges, from timing.json alone."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from table_tools import LABELS, change, form, identity_of, row, run_table, save, shown, spec_of

from vaeglow.errors import UserError

SECONDS = {"glow": 512, "vae": 118, "vaeglow": 162, "vaeglow_as_written": 122}  # an epoch
KINDS = {"glow": "glow", "vae": "vae", "vaeglow": "vae_glow", "vaeglow_as_written": "vae_glow"}
SPREAD = [1.0, 0.9, 1.1]  # of three rounds, alike for all models
BASES = {"glow": {}, "vae": {}, "vaeglow": {"base": "vae"}, "vaeglow_as_written": {"base": "vae"}}
ROWS = [row(model, preset=preset, **base) for model, base in BASES.items() for preset in ("demo", "paper")]
SPEC = spec_of("timing", ROWS, name="table4", presets=["demo", "paper"], published="table4")


def timed(model: str, seconds: float, **values) -> dict:
    """One model of timing.json, by its seconds an epoch; half of them CPU seconds."""
    window = [seconds * 2 * 16 / 50000 * factor for factor in SPREAD]
    about = {"kind": KINDS[model], "batch_size": 16, "peak_memory_bytes": 3 * 2**20, "parameters": 1234}
    about |= {"peak_memory_of": "the whole process", "config_sha256": f"c-{model}"}
    about["training"] = {"steps": 2, "seconds": window, "cpu_seconds": [one / 2 for one in window]}
    return about | {"sampling": {"steps": 1, "seconds": [0.64 * factor for factor in SPREAD]}} | values


def write_timing(root: Path, factor: float, preset: str = "paper", **models: dict) -> Path:
    path = root / preset / "photos32/timing.json"
    about = {"preset": preset, "dataset": "photos32", "provenance": identity_of("vae")["provenance"]}
    machine = {"device": "A CPU", "device_kind": "cpu", "threads": 2, "epoch_images": 50000, "rounds": 3}
    measured = {model: timed(model, seconds * factor) for model, seconds in SECONDS.items()} | models
    save(path, about | machine | {"models": measured})
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_timing(tmp_path, 0.01, "demo")
    write_timing(tmp_path, 1)
    return tmp_path


def test_the_paper_s_own_numbers_make_its_average_and_its_speed_up(results):
    rows = run_table(results, SPEC)
    published = [(r["model"], r["seconds_per_epoch"], r["speed_up"]) for r in rows if r["source"] == "published"]
    single = [("Glow", "512", ""), ("Ours (VAE)", "118", ""), ("Ours (Glow)", "162", "")]
    assert published == [*single, ("Ours (Avg.)", "140", "> 3.5")]
    average = next(r for r in rows if r["preset"] == "paper" and r["origin"] == "mean of vae and vaeglow")
    assert (average["seconds_per_epoch"], average["speed_up"]) == ("140", "3.66")
    assert (average["seconds_per_epoch_low"], average["seconds_per_epoch_high"]) == ("126", "154")
    # Load that meets a whole round leaves its ratio as it is.
    assert average["speed_up_low"] == average["speed_up_high"] == "3.66"
    assert average["cpu_seconds_per_epoch"] == "70.0" and average["config_sha256"] == "c-vaeglow; c-vae; c-glow"


def test_rows_stand_preset_by_preset_with_an_average_after_each_layer(results):
    rows = [r for r in run_table(results, SPEC) if r["source"] == "measured"]
    one = ["glow", "vae", "vaeglow", "vaeglow", "vaeglow_as_written", "vaeglow_as_written"]
    assert [(r["preset"], r["run"]) for r in rows] == [(preset, model) for preset in ("demo", "paper") for model in one]
    glow = {"images_per_second": "97.7", "batch_size": "16", "peak_memory_mib": "3", "parameters": "1234"}
    glow |= {"sampling_images_per_second": "25.0", "threads": "2", "device": "A CPU", "epoch_images": "50000"}
    assert (glow | {"steps_per_window": "2", "windows": "3"}).items() <= rows[6].items()
    assert [bool(r["speed_up"]) for r in rows[:6]] == [False, False, False, True, False, True]


def test_a_reader_sees_ranges_that_times_are_scaled_and_rounds_that_disagree(results):
    run_table(results, SPEC)
    seen = {(r["Model"], r["Networks of preset"]): r for r in shown(results, SPEC)}
    assert seen["VAE (phase 1)", "paper"]["s/epoch"] == "118 (106 to 130)"
    assert seen[f"{LABELS['vaeglow']}: average of both phases", "paper"]["Glow / this"] == "3.66 (3.66 to 3.66)"
    text = form(results, SPEC)
    for words in ("scaled", "50,000 images", "Demo scale", "the whole process", "results/demo/tables/table4.csv"):
        assert words in text
    assert "Rounds disagree" not in text
    busy = timed("glow", 512)
    busy["training"]["cpu_seconds"][0] *= 2
    write_timing(results, 1, glow=busy)
    run_table(results, SPEC)
    assert "**Rounds disagree**" in form(results, SPEC)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"models": {"glow": timed("glow", 1)}}, "lacks 'vae'"),
        ({"preset": "demo"}, "preset is 'demo'"),
        ({"models": dict.fromkeys(SECONDS, timed("vae", math.nan))}, "does not hold a finite"),
    ],
)
def test_times_that_make_no_ratio_are_refused(results, values, says):
    change(results / "paper/photos32/timing.json", **values)
    with pytest.raises(UserError, match=says):
        run_table(results, SPEC)


def test_sampling_is_a_table_of_any_models_without_averages(results):
    spec = spec_of("sampling", [row("vaeglow"), row("glow")], name="sampling")
    fast = timed("glow", 1, sampling={"steps": 1, "seconds": [0.08 * factor for factor in SPREAD]})
    write_timing(results, 1, "demo", glow=fast)
    made = run_table(results, spec)
    found = [(r["model"], r["sampling_images_per_second"], r["milliseconds_per_image"]) for r in made]
    assert found == [(LABELS["vaeglow"], "25.0", "40.0"), ("Glow", "200", "5.00")]
    assert [r["Sampled images/s"] for r in shown(results, spec)] == ["25.0 (22.7 to 27.8)", "200 (182 to 222)"]
    assert "untrained" in form(results, spec) and "Demo scale" in form(results, spec)


def test_a_layer_needs_its_vae_and_a_speed_up_needs_a_glow(results):
    lonely = SPEC | {"presets": ["paper"], "rows": [row("vaeglow", preset="paper", base="vae")]}
    with pytest.raises(UserError, match=r"tables\.table4: model vaeglow has base vae: give vae a row too"):
        run_table(results, lonely)
    without = SPEC | {"presets": ["paper"], "rows": [row("vae", preset="paper"), *lonely["rows"]]}
    assert run_table(results, without)[-1]["speed_up"] == ""
