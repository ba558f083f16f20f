"""Entries of config with every name filled in, and the files they stand for."""

from __future__ import annotations

import copy

import pytest
from run_tools import ROOT, shipped_config

from vaeglow import entries, plan
from vaeglow.check import check_config
from vaeglow.config import effective, merge
from vaeglow.errors import UserError
from vaeglow.paths import RESULTS, result_path

SHIPPED = shipped_config()
PRESETS = list(SHIPPED["presets"])


def check(changes: dict) -> dict:
    schema, published = ROOT / "workflow/schemas/config.schema.yaml", ROOT / "resources/published.csv"
    return check_config(merge(SHIPPED, changes), schema, published)


def demo(**changes: object) -> dict:
    return effective(merge(SHIPPED, changes), "demo")


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("section", ["tables", "figures"])
def test_every_shipped_entry_names_only_what_exists(section, preset):
    whole = effective(SHIPPED, preset)
    for name in whole[section]:
        entry = entries.complete(whole, preset, section, name)
        assert entry["caption"] and entry["title"] and entry["protocol"] in whole["protocols"]
        assert {row["dataset"] for row in entry["rows"]} <= set(whole["datasets"])
        needs = entries.needs(whole, preset, section, name)
        assert needs or all("data" in row for row in entry["rows"])
        for need in needs:
            path = result_path("results", **{**need, "seed": 0})
            assert "{" not in str(path)


def test_a_role_moves_every_entry_that_names_it():
    whole = demo(overrides={"roles": {"main": "cifar10"}})
    for section in ("tables", "figures"):
        for name in whole[section]:
            rows = entries.complete(whole, "demo", section, name)["rows"]
            assert not any(row["dataset"] == "photos32" for row in rows)
    assert entries.complete(whole, "demo", "tables", "table3")["dataset"] == "photos64"


def test_rows_take_their_dataset_from_the_entry_and_their_temperatures_apart():
    changes = {"kind": "quality", "title": "t", "caption": "c", "published": None, "dataset": "faces"}
    rows = [{"model": "vae", "temperatures": [0, 1]}, {"model": "glow", "dataset": "main", "temperature": 1}]
    whole = demo(tables={"t": {**changes, "rows": rows}})
    found = entries.complete(whole, "demo", "tables", "t")["rows"]
    assert [(row["model"], row["dataset"], row["temperature"]) for row in found] == [
        ("vae", "photos64", 0.0),
        ("vae", "photos64", 1.0),
        ("glow", "photos32", 1.0),
    ]
    assert all(type(row["temperature"]) is float and "temperatures" not in row for row in found)


def test_a_wide_row_keeps_its_temperatures_and_needs_each():
    whole = demo()
    entry = entries.complete(whole, "demo", "tables", "training")
    assert entry["rows"][0]["temperatures"] == [0.5, 1.0]
    needs = [need for need in entries.needs(whole, "demo", "tables", "training") if need["model"] == "vaeglow"]
    assert sorted(need["temperature"] for need in needs if need["what"] == "metrics") == [0.5, 1.0]
    assert sum(need["what"] == "latents" for need in needs) == 1


def test_a_timed_row_stands_under_each_preset_with_its_base():
    entry = entries.complete(demo(), "demo", "tables", "table4")
    assert [(row["preset"], row["model"]) for row in entry["rows"]][:4] == [
        ("demo", "glow"), ("paper", "glow"), ("demo", "vae"), ("paper", "vae"),
    ]  # fmt: skip
    assert {row["model"]: row.get("base") for row in entry["rows"]} == {
        "glow": None, "vae": None, "vaeglow": "vae", "vaeglow_as_written": "vae",
    }  # fmt: skip


def test_all_that_tables_and_claims_time_on_one_dataset_is_timed_together():
    whole = check({})
    table4 = {row["model"] for row in SHIPPED["tables"]["table4"]["rows"]}
    sampled = {row["model"] for row in SHIPPED["tables"]["sampling"]["rows"]}
    assert set(plan.timed_models(whole, "paper", "photos32")) == table4
    assert set(plan.timed_models(whole, "demo", "photos32")) == table4 | sampled
    assert plan.timed_models(whole, "demo", "cifar10") == []


def test_two_roles_may_be_one_dataset():
    whole = check({"overrides": {"roles": {"grey": "photos32"}}})
    rows = entries.complete(whole["demo"], "demo", "tables", "table1")["rows"]
    assert [row["model"] for row in rows] == ["vae_isotropic_standard", "vae_two_stage", "vae_isotropic"]


def test_grey_images_leave_the_models_for_colour_out_of_the_runs():
    changes = {"overrides": {"roles": {"main": "digits32"}}}
    runs = plan.runs(merge(SHIPPED, changes), check(changes), "demo")
    assert ("digits32", "vaeglow") in runs and ("digits32", "vaeglow_as_written") not in runs


def test_a_claim_on_a_model_that_cannot_take_the_images_is_not_run_and_says_why():
    whole = check({"overrides": {"roles": {"main": "digits32"}}})
    found = entries.claims(whole["demo"], "demo")
    assert found["quality_main"]["run"] and "unfit" not in found["quality_main"]
    assert not found["squeeze_likelihood"]["run"]
    assert "vaeglow_as_written cannot split one channel" in found["squeeze_likelihood"]["unfit"]
    assert all(need.get("model") != "vaeglow_as_written" for need in entries.claim_needs(whole["demo"], "demo"))


def test_asking_changes_nothing():
    whole = demo()
    before = copy.deepcopy(whole)
    entries.all_needs(whole, "demo")
    entries.claims(whole, "demo")
    assert whole == before


@pytest.mark.parametrize("preset", PRESETS)
def test_runs_include_bases_and_leave_out_what_is_only_timed(preset):
    whole = check({})
    runs = plan.runs(SHIPPED, whole, preset)
    main = whole[preset]["roles"]["main"]
    assert {(main, model) for model in ("vae", "vaeglow", "vae_isotropic_standard", "vaeglow_joint")} <= set(runs)
    assert len(runs) == len(set(runs))
    only_timed = check({"tables": {"table4": {"rows": [{"model": "glow_additive"}]}}})
    assert (main, "glow_additive") not in plan.runs(SHIPPED, only_timed, preset)


def test_seeds_multiply_the_files_of_tables_and_claims_and_not_of_figures():
    one, three = check({}), check({"presets": {"demo": {"seeds": [0, 1, 2]}}})
    for files in (
        lambda whole: plan.table_files(whole, "demo", "table2"),
        lambda whole: plan.claims_files(whole, "demo"),
    ):
        assert len(files(one)) < len(files(three)) <= 3 * len(files(one))
    assert plan.figure_files(one, "demo", "figure2") == plan.figure_files(three, "demo", "figure2")
    assert plan.table_files(one, "demo", "table4") == plan.table_files(three, "demo", "table4")  # no seed in its paths


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"roles": {"main": "cifar"}}, r"unknown dataset 'cifar' \(did you mean 'cifar10'"),
        ({"roles": {"cifar10": "photos32"}}, "a dataset has that name"),
        (
            {"overrides": {"roles": {"mian": "photos32"}}},
            r"overrides\.roles: unknown role 'mian' \(did you mean 'main'",
        ),
        ({"evaluation": {"protocol": "test-10k"}}, r"unknown protocol 'test-10k' \(did you mean 'test-10k-2048'"),
        ({"figures": {"figure4": {"rows": [{"model": "vae"}]}}}, r"model vae is a vae: layer draws .* vae_glow only"),
        ({"figures": {"figure5": {"rows": [{"model": "glow"}]}}}, r"figure5: model glow is a glow: interpolation"),
        ({"tables": {"linear_reference": {"reference_model": "glow"}}}, r"linear reference is to be had of vae only"),
        ({"figures": {"figure5": {"space": "both"}}}, r"figures\.figure5\.space"),
        ({"tables": {"table2": {"kind": "quantity"}}}, r"tables\.table2\.kind"),
        (
            {"tables": {"table2": {"rows": [{"model": "vae"}]}}},
            r"'tables\.table2\.rows\.0' lacks the key 'temperature'",
        ),
        ({"timing": {"cpu": {"windows": 1}}}, r"timing\.cpu\.windows"),
        ({"claims": {"temperature_best": {"others": [0.5, 1.0]}}}, r"temperature_best: others holds .* 0\.5 itself"),
        ({"claims": {"noise_where_wrong": {"model": "vae_isotropic"}}}, r"noise_where_wrong: .* has isotropic noise"),
        ({"claims": {"noise_where_wrong": {"model": "vaeglow_isotropic"}}}, r"noise_where_wrong: .* has isotropic"),
        ({"figures": {"figure1": {"rows": [{"model": "vaeglow_joint"}]}}}, r"figure1: .* has mode joint: an overview"),
    ],
)
def test_a_slip_is_one_line(changes, says):
    with pytest.raises(UserError, match=says) as caught:
        check(changes)
    assert "\n" not in str(caught.value)


def test_every_kind_reads_results_that_have_a_path():
    for kinds in entries.READS.values():
        assert set().union(*kinds.values()) <= set(RESULTS)
    assert set(entries.MODELS) <= set(RESULTS)
