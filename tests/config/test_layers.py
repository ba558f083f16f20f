"""From layers to one resolved config, the models and images that it refuses, and the runs and files of all entries."""

import copy

import pytest
import yaml
from run_tools import CONFIG, checked, shipped_config
from waiting import ROOT

from vaeglow.config import FILES, effective, merge, plan, read_config, resolve
from vaeglow.errors import UserError
from vaeglow.files import sha256_json

SHIPPED = shipped_config()


@pytest.fixture
def config() -> dict:
    return copy.deepcopy(CONFIG)


def test_the_config_is_all_files_of_its_folder_and_no_key_is_in_two(tmp_path):
    files = {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (ROOT / "config").glob("*.yaml")}
    assert set(files) == set(FILES)
    of_datasets = [name for content in files.values() for name in content.pop("datasets", {})]
    keys = [key for content in files.values() for key in content]
    assert sorted(keys) == sorted({*keys}) and sorted({"datasets", *keys}) == sorted(SHIPPED)
    assert sorted(of_datasets) == sorted({*of_datasets}) == sorted(SHIPPED["datasets"])
    assert len((ROOT / "config/config.yaml").read_text(encoding="utf-8").splitlines()) <= 80


def test_a_file_takes_the_place_of_the_repositorys(tmp_path):
    (tmp_path / "config.yaml").write_text("{preset: mine, models: {vae: {label: V}}}")
    (tmp_path / "presets.yaml").write_text("presets: {mine: {}}")
    (tmp_path / "claims.yaml").write_text("# none\n")

    def find(name):
        own = tmp_path / name
        return own if own.exists() else ROOT / "config" / name

    found = read_config(find)
    assert found["preset"] == "mine" and found["presets"] == {"mine": {}} and not {"seeds", "claims"} & found.keys()
    assert found["models"]["vae"] == SHIPPED["models"]["vae"] | {"label": "V"}  # config.yaml decides
    (tmp_path / "models.yaml").write_text("models: [")
    with pytest.raises(UserError, match=r"not YAML: .*models\.yaml\", line 1"):
        read_config(find)
    (tmp_path / "models.yaml").write_text("- vae")
    with pytest.raises(UserError, match=r"models\.yaml: its top level must be `key: value`, not a list"):
        read_config(find)


def test_every_layer_overrides_the_one_before(config):
    """base < like < model < dataset < preset < preset's dataset < overrides < overrides' dataset."""
    config["models"]["child"] = {"like": "vae"}
    preset = config["presets"]["tiny"]
    change = {}
    places = [
        config["training"],
        config["models"]["vae"].setdefault("training", {}),
        config["models"]["child"].setdefault("training", {}),
        config["datasets"]["blobs"].setdefault("training", {}),
        config["datasets"]["blobs"].setdefault("models", {}).setdefault("child", {}).setdefault("training", {}),
        preset.setdefault("training", {}),
        preset.setdefault("models", {}).setdefault("child", {}).setdefault("training", {}),
        preset.setdefault("datasets", {}).setdefault("blobs", {}).setdefault("training", {}),
        config["overrides"].setdefault("training", change),
        config["overrides"].setdefault("datasets", {}).setdefault("blobs", {}).setdefault("training", {}),
    ]
    for value, place in enumerate(places, start=1):
        place["learning_rate"] = value
        assert resolve(config, "tiny", "blobs", "child", 0)["training"]["learning_rate"] == value
    # the other way about: a later layer holds whatever an earlier one says
    for place in places[:-1]:
        place["learning_rate"] = -1
        assert resolve(config, "tiny", "blobs", "child", 0)["training"]["learning_rate"] == len(places)


def test_a_child_follows_its_parent_in_every_layer(config):
    config["models"] |= {"child": {"like": "vae"}, "grandchild": {"like": "child", "network": {"fc_dim": 99}}}
    config["presets"]["tiny"]["models"] = {"vae": {"network": {"base_dim": 7, "fc_dim": 3}}}
    parent, child, grandchild = (resolve(config, "tiny", "blobs", m, 0) for m in ("vae", "child", "grandchild"))
    assert child == parent | {"model": "child"}
    assert child["network"]["base_dim"] == grandchild["network"]["base_dim"] == 7
    assert child["network"]["fc_dim"] == 3
    assert grandchild["network"]["fc_dim"] == 99  # its own entry, though the preset's line on its parent comes later
    for later, expected in (({"grandchild": 5}, 5), ({"child": 6}, 99)):
        config["overrides"] = {"models": {name: {"network": {"fc_dim": value}} for name, value in later.items()}}
        assert resolve(config, "tiny", "blobs", "grandchild", 0)["network"]["fc_dim"] == expected


def test_what_all_models_share_comes_after_a_childs_own_earlier_entry(config):
    """A schedule of its own, the preset's rate: as `glow_paper_schedule` has them."""
    own = {"schedule": {"halve_every": 3}, "learning_rate": 0.5, "warmup_epochs": 0}
    config["models"]["child"] = {"like": "glow", "training": own}
    lines = {"schedule": "linear", "learning_rate": 0.7, "warmup_epochs": 9, "epochs": 4}
    config["presets"]["tiny"] = {"training": {"learning_rate": 0.25}, "models": {"glow": {"training": lines}}}
    found = resolve(config, "tiny", "blobs", "child", 0)["training"]
    assert found.items() >= {**own, "learning_rate": 0.25, "epochs": 4}.items()
    assert resolve(config, "tiny", "blobs", "glow", 0)["training"].items() >= lines.items()


def test_the_hash_depends_on_what_decides_numbers_only_and_resolving_leaves_the_config_alone(config):
    def digest(config: dict, seed: int = 0) -> str:
        return sha256_json(resolve(config, "tiny", "blobs", "vae", seed))

    before = digest(config)
    reordered = {key: config[key] for key in reversed(config)}
    reordered["models"]["vae"]["network"] = dict(reversed(config["models"]["vae"]["network"].items()))
    assert digest(reordered) == digest(config | {"runtime": {"device": "cuda"}}) == before != digest(config, seed=1)
    config["models"]["vae"] |= {"label": "L", "color": "#000000", "marker": "o"}
    config["models"]["glow"]["network"]["width"] = 99
    config["datasets"]["blobs"]["root"] = "elsewhere"
    assert digest(config) == before
    config["models"]["vae"]["network"]["base_dim"] = 5
    assert digest(config) != before
    unchanged = copy.deepcopy(config)
    found = resolve(config, "tiny", "blobs", "vaeglow", 0)
    found["training"]["betas"].append(1)
    found["base"]["network"]["fc_dim"] = -1
    assert config == unchanged


def test_effective_is_base_then_preset_then_overrides_and_lists_are_replaced():
    config = {
        "seeds": [0],
        "tables": {"t": {"dataset": "a", "rows": [1, 2]}},
        "evaluation": {"batch_size": 100, "importance_images": 5},
        "presets": {"p": {"tables": {"t": {"dataset": "b"}}, "evaluation": {"batch_size": 10}}, "q": {}},
        "overrides": {"evaluation": {"batch_size": 1}, "seeds": [7]},
    }
    assert effective(config, "p") == {
        "preset": "p",
        "seeds": [7],
        "tables": {"t": {"dataset": "b", "rows": [1, 2]}},
        "evaluation": {"batch_size": 1, "importance_images": 5},
    }
    assert effective(config | {"overrides": None}, "q")["evaluation"]["batch_size"] == 100


@pytest.mark.parametrize(
    ("model", "data", "change", "message"),
    [
        ("vae", {"size": 24}, {}, "needs a side that is a power of two"),
        ("vaeglow", {"size": 24}, {}, "model vae needs a side that is a power of two"),
        ("vaeglow", {"size": 8}, {"layer": {"squeeze": 3}}, "has squeeze 3 and 1 level, which do not divide the side"),
        ("vaeglow", {"size": 8}, {"layer": {"levels": 4}}, "has squeeze 2 and 4 levels, which do not divide the side"),
        ("vaeglow", {"channels": 1}, {"layer": {"squeeze": 1}}, "cannot split one channel in two"),
        ("glow", {"size": 6}, {}, "model glow has 2 levels, which do not divide the side"),
    ],
)
def test_images_a_model_cannot_take(model, data, change, message, config):
    config["datasets"]["blobs"] |= data
    config["models"][model] = merge(config["models"][model], change)
    with pytest.raises(UserError, match=message) as caught:
        resolve(config, "tiny", "blobs", model, 0)
    assert "dataset blobs" in str(caught.value)


@pytest.mark.parametrize("preset", list(SHIPPED["presets"]))
def test_glow_under_the_papers_schedule_has_the_vaes_schedule(preset):
    for dataset in (name for name, data in SHIPPED["datasets"].items() if data["channels"] == 3):
        vae, glow, ours = (
            resolve(SHIPPED, preset, dataset, model, 0)["training"] for model in ("vae", "glow", "glow_paper_schedule")
        )
        assert ours["optimizer"] == "adam" and ours["warmup_epochs"] == 0
        schedule = ("optimizer", "learning_rate", "schedule", "warmup_epochs")
        assert {key: ours[key] for key in schedule} == {key: vae[key] for key in schedule}
        assert ours["epochs"] == glow["epochs"] and glow["optimizer"] == "adamax"


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


def test_a_table_of_training_times_needs_those_of_all_bases():
    rows = [{"model": "beyond"}, {"model": "glow"}]
    table = {"kind": "training_time", "title": "Times", "caption": "", "rows": rows}
    view = effective(merge(shipped_config(), {"tables": {"times": table}}), "cpu")
    timed = {need["model"] for need in plan.needs(view, "tables", "times") if need["what"] == "timing"}
    assert timed == {"beyond", "beyond_three_levels", "vae_small", "glow"}


def test_all_that_tables_and_claims_time_on_one_dataset_is_timed_together():
    views = checked()
    table4 = {row["model"] for row in SHIPPED["tables"]["table4"]["rows"]}
    sampled = {row["model"] for row in SHIPPED["tables"]["sampling"]["rows"]}
    assert set(plan.timed_models(views["demo"], "paper", "photos32")) == table4
    assert set(plan.timed_models(views["demo"], "demo", "photos32")) == table4 | sampled
    assert plan.timed_models(views["demo"], "demo", "cifar10") == []
    moved = checked("{overrides: {roles: {main: photos32}}}")  # the paper's own tables are of photos32, too
    assert set(plan.timed_models(moved["demo"], "paper", "photos32")) == table4


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


def test_rows_of_models_for_colour_are_left_out_on_grey_images_and_say_why():
    """But not an entry's only rows, nor those of a model that cannot take the size: such a run is refused."""
    only = "{kind: quality, title: t, caption: c, published: null, rows: [{model: vaeglow_as_written, temperature: 1}]}"
    view = checked(f"{{overrides: {{roles: {{main: digits32}}}}, tables: {{only: {only}}}}}")["demo"]
    entries = {(s, name): plan.filled_in(view, s, name) for s in plan.SECTIONS for name in view[s]}
    kept = {name for name, entry in entries.items() if ("digits32", "vaeglow_as_written") in sides(entry)}
    assert kept == {("tables", "only")} and "left_out" not in entries["tables", "only"]
    left = entries["tables", "table2"]
    assert [row["model"] for row in left["rows"]] == ["glow", "vae", "vaeglow", "vaeglow"]
    assert len(entries["tables", "differences"]["rows"]) == 3  # of five; one of the others has it on its other side
    (reason,) = left["left_out"]
    assert reason.startswith("dataset digits32 (1 channel, side 32): model vaeglow_as_written cannot split")
    assert "left_out" not in entries["tables", "table1"] | entries["figures", "figure3"]
    small = checked("{datasets: {photos32: {size: 24, channels: 1}}}")["demo"]  # the VAEs need a power of two
    assert {"vae", "vaeglow"} <= {row["model"] for row in plan.filled_in(small, "tables", "table2")["rows"]}


def sides(entry: dict) -> set[tuple[str, str]]:
    """The (dataset, model) pairs that an entry's rows are of."""
    found = [
        (row["dataset"], side["model"])
        for row in entry["rows"]
        for side in (row, row.get("minus", {}))
        if "model" in side
    ]
    return set(found)


@pytest.mark.parametrize("preset", list(SHIPPED["presets"]))
def test_runs_include_bases_and_leave_out_what_is_only_timed(preset):
    view = checked()[preset]
    runs = plan.runs(SHIPPED, view)
    main = view["roles"]["main"]
    assert {(main, model) for model in ("vae", "vaeglow", "vae_isotropic_standard", "vaeglow_joint")} <= set(runs)
    assert len(runs) == len(set(runs))
    only_timed = checked("{tables: {table4: {rows: [{model: vae_alone}]}}, models: {vae_alone: {like: vae}}}")[preset]
    assert (main, "vae_alone") not in plan.runs(SHIPPED, only_timed)


def test_only_preset_paper_trains_for_the_papers_epochs():
    """A model's own `epochs` win over what it would inherit, so every preset must name them again."""
    for preset, view in checked().items():
        runs = plan.runs(SHIPPED, view)
        epochs = {one: resolve(SHIPPED, preset, *one, 0)["training"]["epochs"] for one in runs}
        assert preset == "paper" or max(epochs.values()) <= 20, epochs


def test_seeds_multiply_the_files_of_tables_charts_and_claims_and_not_of_figures_of_images():
    one = checked()["demo"]
    three = checked("{presets: {demo: {seeds: [0, 1, 2]}}}")["demo"]
    for asked in (("tables", "table2"), ("figures", "quality_time"), ("claims",)):
        assert len(plan.files(one, *asked)) < len(plan.files(three, *asked)) <= 3 * len(plan.files(one, *asked))
    assert plan.files(one, "figures", "figure2") == plan.files(three, "figures", "figure2")
    assert plan.files(one, "tables", "table4") == plan.files(three, "tables", "table4")  # no seed in its paths


def test_samples_suffice_for_the_largest_protocol_on_a_dataset_and_every_row_of_a_sheet():
    views = checked()
    glow = ("photos32", "glow", 1.0)
    assert plan.sample_counts(views["demo"], *glow) == {"count": 64, "shown": 64}  # by Figure 2
    assert plan.sample_counts(views["paper"], "cifar10", "glow", 1.0)["count"] == 30000  # three sets
    in_no_table = plan.sample_counts(views["paper"], "photos64", "glow", 1.0)
    assert in_no_table == {"count": 30000, "shown": plan.SHOWN}
    faces = checked("{presets: {demo: {tables: {table3: {protocol: test-10k-2048}}}}}")["demo"]
    assert plan.sample_counts(faces, "photos64", "glow", 1.0)["count"] == 10000
    assert {plan.sample_counts(faces, *of)["count"] for of in (glow, ("photos64", "vaeglow", 1.0))} == {64}
    large = checked("{overrides: {figures: {samples: {columns: 40, lines_per_row: 20}}}}")
    assert plan.sample_counts(large["demo"], *glow) == {"count": 800, "shown": 800}
    most = plan.sample_counts(large["paper"], "cifar10", "glow", 1.0)
    assert most == {"count": 30000, "shown": 800}  # the protocol asks for more


def test_importance_weighted_bounds_are_evaluated_of_the_runs_that_show_them():
    view = checked()["demo"]
    assert plan.importance_samples(view, "photos32", "glow") == [10]
    assert plan.importance_samples(view, "photos32", "residual_flow") == []
    assert plan.importance_samples(view, "photos64", "glow") == []


def test_a_figure_of_images_shows_the_first_seed_and_is_given_the_splits_it_shows():
    rows = "[{data: val}, {model: vae, temperature: 0}, {data: test}]"
    view = checked(f"{{presets: {{demo: {{seeds: [7, 2], figures: {{samples: {{rows: {rows}}}}}}}}}}}")["demo"]
    spec = plan.spec(view, "figures", "samples")
    assert (spec["name"], spec["preset"], spec["seeds"], spec["dataset"]) == ("samples", "demo", [7], "photos32")
    assert plan.files(view, "figures", "samples") == ["results/demo/photos32/vae/seed7/shown/T0.0.npz"]
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
