"""Entries of config with every name filled in, and the runs and files they stand for."""

import pytest
import yaml
from run_tools import checked, shipped_config

from vaeglow.config import merge, plan

SHIPPED = shipped_config()


def test_a_role_moves_every_entry_that_names_it():
    view = checked("{overrides: {roles: {main: cifar10}}}")["demo"]
    rows = [row for s in ("tables", "figures") for name in view[s] for row in plan.filled_in(view, s, name)["rows"]]
    assert "photos32" not in {row["dataset"] for row in rows}
    assert plan.filled_in(view, "tables", "table3")["dataset"] == "photos64"


def test_rows_take_their_dataset_from_the_entry_and_their_temperatures_apart():
    rows = "[{model: vae, temperatures: [0, 1]}, {model: glow, dataset: main, temperature: 1}]"
    about = "kind: quality, title: t, caption: c, published: null, dataset: faces"
    view = checked(f"{{tables: {{t: {{{about}, rows: {rows}}}}}}}")["demo"]
    found = plan.filled_in(view, "tables", "t")["rows"]
    assert [(row["model"], row["dataset"], row["temperature"]) for row in found] == [
        ("vae", "photos64", 0.0),
        ("vae", "photos64", 1.0),
        ("glow", "photos32", 1.0),
    ]
    assert all(type(row["temperature"]) is float and "temperatures" not in row for row in found)


def test_a_wide_row_keeps_its_temperatures_and_needs_each():
    view = checked()["demo"]
    assert plan.filled_in(view, "tables", "training")["rows"][0]["temperatures"] == [0.5, 1.0]
    found = [need for need in plan.needs(view, "tables", "training") if need["model"] == "vaeglow"]
    assert sorted(need["temperature"] for need in found if need["what"] == "metrics") == [0.5, 1.0]
    assert sum(need["what"] == "latents" for need in found) == 1


def test_all_that_tables_and_claims_time_on_one_dataset_is_timed_together():
    views = checked()
    table4 = {row["model"] for row in SHIPPED["tables"]["table4"]["rows"]}
    sampled = {row["model"] for row in SHIPPED["tables"]["sampling"]["rows"]}
    assert set(plan.timed_models(views, "paper", "photos32")) == table4
    assert set(plan.timed_models(views, "demo", "photos32")) == table4 | sampled
    assert plan.timed_models(views, "demo", "cifar10") == []


def test_models_that_cannot_take_the_images_are_no_runs_and_their_claims_say_why():
    changes = "{overrides: {roles: {main: digits32}}}"
    view = checked(changes)["demo"]
    runs = plan.runs(merge(SHIPPED, yaml.safe_load(changes)), view)
    assert ("digits32", "vaeglow") in runs and ("digits32", "vaeglow_as_written") not in runs
    found = plan.claims(view)
    assert found["quality_main"]["run"] and "unfit" not in found["quality_main"]
    assert not found["squeeze_likelihood"]["run"]
    assert "vaeglow_as_written cannot split one channel" in found["squeeze_likelihood"]["unfit"]
    assert all(need["model"] != "vaeglow_as_written" for need in plan.needs(view, "claims"))


@pytest.mark.parametrize("preset", list(SHIPPED["presets"]))
def test_runs_include_bases_and_leave_out_what_is_only_timed(preset):
    view = checked()[preset]
    runs = plan.runs(SHIPPED, view)
    main = view["roles"]["main"]
    assert {(main, model) for model in ("vae", "vaeglow", "vae_isotropic_standard", "vaeglow_joint")} <= set(runs)
    assert len(runs) == len(set(runs))
    only_timed = checked("{tables: {table4: {rows: [{model: glow_additive}]}}}")[preset]
    assert (main, "glow_additive") not in plan.runs(SHIPPED, only_timed)


def test_seeds_multiply_the_files_of_tables_and_claims_and_not_of_figures():
    one, three = checked()["demo"], checked("{presets: {demo: {seeds: [0, 1, 2]}}}")["demo"]
    for asked in (("tables", "table2"), ("claims",)):
        assert len(plan.files(one, *asked)) < len(plan.files(three, *asked)) <= 3 * len(plan.files(one, *asked))
    assert plan.files(one, "figures", "figure2") == plan.files(three, "figures", "figure2")
    assert plan.files(one, "tables", "table4") == plan.files(three, "tables", "table4")  # no seed in its paths


def test_samples_suffice_for_the_largest_protocol_on_a_dataset_and_every_row_of_a_sheet():
    views = checked()
    assert plan.sample_counts(views["demo"])["photos32"] == views["demo"]["protocols"]["test-100-2048"]["images"]
    assert plan.sample_counts(views["paper"])["cifar10"] == 30000  # three sets
    assert plan.sample_counts(views["paper"])["photos64"] == 30000  # in no table
    view = checked("{presets: {demo: {tables: {table3: {protocol: test-10k-2048}}}}}")["demo"]
    assert plan.sample_counts(view) == {**dict.fromkeys(view["datasets"], 100), "photos64": 10000}
    large = checked("{overrides: {figures: {samples: {columns: 40, lines_per_row: 20}}}}")
    assert plan.sample_counts(large["demo"])["photos32"] == 800
    assert plan.sample_counts(large["paper"])["cifar10"] == 30000  # the table's protocol asks for more than the sheet


def test_a_figure_shows_the_first_seed_and_is_given_the_splits_it_shows():
    rows = "[{data: val}, {model: vae, temperature: 0}, {data: test}]"
    view = checked(f"{{presets: {{demo: {{seeds: [7, 2], figures: {{samples: {{rows: {rows}}}}}}}}}}}")["demo"]
    spec = plan.spec(view, "figures", "samples")
    assert (spec["name"], spec["preset"], spec["seed"], spec["dataset"]) == ("samples", "demo", 7, "photos32")
    assert plan.files(view, "figures", "samples") == ["results/demo/photos32/vae/seed7/samples/T0.0.npz"]
    folder = "resources/data/photos32"
    assert plan.figure_data(view, "samples", "images") == [f"{folder}/val.npy", f"{folder}/test.npy"]
    assert plan.figure_data(view, "samples", "info") == [f"{folder}/dataset.json"]


def test_a_spec_has_the_look_of_each_model_it_shows_and_none_is_inherited():
    rows = "rows: [{model: mine, temperature: 1}]"
    view = checked(f"{{models: {{mine: {{like: vaeglow}}}}, overrides: {{tables: {{squeeze: {{{rows}}}}}}}}}")["demo"]
    styles = plan.spec(view, "tables", "squeeze")["styles"]
    assert styles["vae"] == {key: SHIPPED["models"]["vae"][key] for key in ("label", "color", "marker")}
    assert set(styles) == {"mine", "vae"} and styles["mine"]["label"] == "mine"  # vae: its base
    looks = [(look["color"], look["marker"]) for look in plan.spec(view, "claims")["styles"].values()]
    assert len(looks) == len(set(looks)) > 5
