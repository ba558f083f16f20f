"""Table 4: averages, speed-ups and their ranges, from timing.json alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from table_tools import change, form, row, run_table, save, shown, spec_of

from vaeglow.errors import UserError

KINDS = {"glow": "glow", "vae": "vae", "vaeglow": "vae_glow", "vaeglow_as_written": "vae_glow"}


SPREAD = [1.0, 0.9, 1.1]  # of three rounds, alike for all models


def timed(model: str, seconds: float, **values) -> dict:
    """One model of timing.json, by its seconds an epoch; half of them CPU seconds."""
    window = [seconds * 2 * 16 / 50000 * factor for factor in SPREAD]
    work = {"steps": 2, "seconds": window, "cpu_seconds": [one / 2 for one in window]}
    about = {"kind": KINDS[model], "batch_size": 16, "peak_memory_bytes": 3 * 2**20, "parameters": 1234}
    about |= {"peak_memory_of": "the whole process", "config_sha256": f"c-{model}"}
    return (
        about | {"training": work, "sampling": {"steps": 1, "seconds": [0.64 * factor for factor in SPREAD]}} | values
    )


def write_timing(root: Path, models: dict, preset: str = "paper") -> Path:
    path = root / preset / "photos32" / "timing.json"
    shared = {"device": "A CPU", "device_kind": "cpu", "threads": 2, "epoch_images": 50000, "rounds": 3}
    provenance = {"commit": "abc123", "dirty": False, "device": "A CPU"}
    save(path, {"preset": preset, "dataset": "photos32", **shared, "models": models, "provenance": provenance})
    return path


BASES = {"glow": {}, "vae": {}, "vaeglow": {"base": "vae"}, "vaeglow_as_written": {"base": "vae"}}
ROWS = [row(model, preset=preset, **base) for model, base in BASES.items() for preset in ("demo", "paper")]
SPEC = spec_of("timing", ROWS, name="table4", presets=["demo", "paper"], published="table4")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    root = tmp_path / "results"
    seconds = {"glow": 512, "vae": 118, "vaeglow": 162, "vaeglow_as_written": 122}
    for preset, factor in (("demo", 0.01), ("paper", 1)):
        write_timing(root, {model: timed(model, one * factor) for model, one in seconds.items()}, preset)
    return root


def test_the_paper_s_own_numbers_make_its_average_and_its_speed_up(results):
    rows = run_table(results, SPEC)
    published = [(r["model"], r["seconds_per_epoch"], r["speed_up"]) for r in rows if r["source"] == "published"]
    single = [("Glow", "512", ""), ("Ours (VAE)", "118", ""), ("Ours (Glow)", "162", "")]
    assert published == [*single, ("Ours (Avg.)", "140", "> 3.5")]
    assert {r["device"] for r in rows[:4]} == {"GeForce GTX 1080 Ti"} and all(r["origin"] for r in rows[:4])
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
    glow = rows[6]
    assert (glow["images_per_second"], glow["batch_size"], glow["peak_memory_mib"]) == ("97.7", "16", "3")
    assert (glow["sampling_images_per_second"], glow["parameters"], glow["threads"]) == ("25.0", "1234", "2")
    assert (glow["device"], glow["epoch_images"], glow["steps_per_window"]) == ("A CPU", "50000", "2")
    assert [bool(r["speed_up"]) for r in rows[:6]] == [False, False, False, True, False, True]


def test_a_reader_sees_ranges_and_that_times_are_scaled(results):
    run_table(results, SPEC)
    seen = {(r["Model"], r["Networks of preset"]): r for r in shown(results, SPEC)}
    assert seen["Ours (Avg.)", "-"]["Glow / this"] == "> 3.5"
    assert seen["VAE (phase 1)", "paper"]["s/epoch"] == "118 (106 to 130)"
    assert seen["Ours (Glow layer, squeeze 2): average of both phases", "paper"]["Glow / this"] == "3.66 (3.66 to 3.66)"
    text = form(results, SPEC)
    for words in ("scaled", "50,000 images", "Demo scale", "the whole process", "results/demo/tables/table4.csv"):
        assert words in text


def test_rounds_that_disagree_are_said_to(results):
    run_table(results, SPEC)
    assert "Rounds disagree" not in form(results, SPEC)
    path = results / "paper/photos32/timing.json"
    busy = timed("glow", 512)
    busy["training"]["cpu_seconds"][0] *= 2
    change(path, models=json.loads(path.read_text())["models"] | {"glow": busy})
    run_table(results, SPEC)
    assert "**Rounds disagree**" in form(results, SPEC)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"training": {"steps": 1, "seconds": [1.0, None, 1.0]}}, "does not hold a finite"),
        ({"training": {"steps": 1}}, "lacks 'seconds'"),
        ({"sampling": {}}, "lacks 'seconds'"),
    ],
)
def test_times_that_make_no_ratio_are_one_line(results, values, says):
    path = results / "paper/photos32/timing.json"
    change(path, models=json.loads(path.read_text())["models"] | {"vae": timed("vae", 118, **values)})
    with pytest.raises(UserError, match=says) as caught:
        run_table(results, SPEC)
    assert "\n" not in str(caught.value)
    assert not (results / "demo/tables").exists()


def test_times_of_another_preset_or_without_a_model_are_refused(results):
    path = results / "paper/photos32/timing.json"
    change(path, models={"glow": timed("glow", 512)})
    with pytest.raises(UserError, match="lacks 'vae'"):
        run_table(results, SPEC)
    change(path, preset="demo")
    with pytest.raises(UserError, match="preset is 'demo'"):
        run_table(results, SPEC)


def test_sampling_is_a_table_of_any_models_without_averages(results):
    rows = [row(model) for model in ("vaeglow", "glow")]
    spec = spec_of("sampling", rows, name="sampling")
    slow, fast = timed("vaeglow", 1), timed("glow", 1)
    fast["sampling"]["seconds"] = [one / 8 for one in fast["sampling"]["seconds"]]
    write_timing(results, {"vaeglow": slow, "glow": fast}, "demo")
    made = run_table(results, spec)
    assert [(r["model"], r["sampling_images_per_second"], r["milliseconds_per_image"]) for r in made] == [
        ("Ours (Glow layer, squeeze 2)", "25.0", "40.0"),
        ("Glow", "200", "5.00"),
    ]
    assert [r["Sampled images/s"] for r in shown(results, spec)] == ["25.0 (22.7 to 27.8)", "200 (182 to 222)"]
    assert "untrained" in form(results, spec) and "Demo scale" in form(results, spec)


def test_a_layer_needs_its_vae_and_a_speed_up_needs_a_glow(results):
    lonely = SPEC | {"presets": ["paper"], "rows": [row("vaeglow", preset="paper", base="vae")]}
    with pytest.raises(UserError, match=r"tables\.table4: model vaeglow stands on vae: give vae a row as well"):
        run_table(results, lonely)
    without = SPEC | {"presets": ["paper"], "rows": [row("vae", preset="paper"), *lonely["rows"]]}
    assert run_table(results, without)[-1]["speed_up"] == ""
