"""From layers to one resolved config, the models and images that it refuses, and the runs and files of all entries."""

import copy
from functools import partial, reduce
from pathlib import Path

import pytest
import yaml
from refusals import user_error
from run_tools import CONFIG, checked, shipped_config
from waiting import ROOT, Json, text_of

from vaeglow.config import FILES, config_file, merge, plan, read_config, resolve, targets, view_of
from vaeglow.files import sha256_json, write_text

SHIPPED = shipped_config()


def demo(changes: str = "{}") -> Json:
    """The shipped config with an overlay, as preset demo sees it."""
    return checked(changes)["demo"]


def run(config: Json, model: str) -> Json:
    """The resolved config of a tiny run."""
    return resolve(config, "tiny", "blobs", model, 0)


@pytest.fixture
def config() -> Json:
    return copy.deepcopy(CONFIG)


def test_the_config_is_all_files_of_its_folder_and_no_key_is_in_two():
    assert {path.name for path in ROOT.glob("config/*.yaml")} == {*FILES}
    contents = [yaml.safe_load(text_of(f"config/{name}")) for name in FILES]
    of_datasets = [name for content in contents for name in content.pop("datasets", {})]
    keys = ["datasets", *(key for content in contents for key in content)]
    assert sorted(keys) == sorted(SHIPPED) and sorted(of_datasets) == sorted(SHIPPED["datasets"])


def test_a_file_takes_the_place_of_the_repositorys(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    find = partial(config_file, ROOT.joinpath, False)
    folder = Path("config")
    folder.mkdir()
    (folder / "config.yaml").write_text("{preset: mine, models: {vae: {label: V}}}")
    (folder / "presets.yaml").write_text("presets: {mine: {}}")
    (folder / "claims.yaml").write_text("# none\n")
    layered = read_config(find)
    assert layered["preset"] == "mine"
    assert layered["presets"] == {"mine": {}}
    assert not {"seeds", "claims"} & layered.keys()
    assert layered["models"]["vae"] == SHIPPED["models"]["vae"] | {"label": "V"}  # config.yaml decides
    find_whole = partial(config_file, ROOT.joinpath, True)
    assert read_config(find_whole) == SHIPPED  # some files are of another project, perhaps
    for text, says in {
        "models: [": r"not YAML: .*models\.yaml\", line 1",
        "- vae": r"models\.yaml: its top level must be `key: value`, not a list",
    }.items():
        (folder / "models.yaml").write_text(text)
        with user_error(says):
            read_config(find)
    for name in FILES:
        (folder / name).write_text("preset: mine")
    assert read_config(find_whole) == {"preset": "mine"}


LAYERS = """
training
models vae training
models child training
datasets blobs training
datasets blobs models child training
presets tiny training
presets tiny models child training
presets tiny datasets blobs training
overrides training
overrides datasets blobs training
"""


def test_every_layer_overrides_the_one_before(config):
    """base < like < model < dataset < preset < preset's dataset < overrides < overrides' dataset."""
    config["models"]["child"] = {"like": "vae"}
    places = []
    for layer in LAYERS.strip().splitlines():
        places.append(reduce(lambda place, key: place.setdefault(key, {}), layer.split(), config))
    for value, place in enumerate(places):
        place["learning_rate"] = value
        assert run(config, "child")["training"]["learning_rate"] == value
    # the other way about: a later layer holds whatever an earlier one says
    for place in places[:-1]:
        place["learning_rate"] = -1
        assert run(config, "child")["training"]["learning_rate"] == value


def test_a_child_follows_its_parent_in_every_layer(config):
    config["models"] |= {"child": {"like": "vae"}, "grandchild": {"like": "child", "network": {"fc_dim": 99}}}
    config["presets"]["tiny"]["models"] = {"vae": {"network": {"base_dim": 7, "fc_dim": 3}}}
    assert run(config, "child") == run(config, "vae") | {"model": "child"}
    # its own entry comes first, though the preset's line on its parent comes later
    for name, own in (("child", 3), ("grandchild", 99)):
        assert run(config, name)["network"].items() >= {"base_dim": 7, "fc_dim": own}.items()
    for later, value, expected in (("grandchild", 5, 5), ("child", 6, 99)):
        config["overrides"] = {"models": {later: {"network": {"fc_dim": value}}}}
        assert run(config, "grandchild")["network"]["fc_dim"] == expected


def test_what_all_models_share_comes_after_a_childs_own_earlier_entry(config):
    """A schedule of its own, the preset's rate: as `glow_paper_schedule` has them."""
    own = {"schedule": {"halve_every": 3}, "learning_rate": 0.5, "warmup_epochs": 0}
    lines = {"schedule": "linear", "learning_rate": 0.7, "warmup_epochs": 9, "epochs": 4}
    config["models"]["child"] = {"like": "glow", "training": own}
    config["presets"]["tiny"] = {"training": {"learning_rate": 0.25}, "models": {"glow": {"training": lines}}}
    child, glow = (run(config, model)["training"].items() for model in ("child", "glow"))
    assert child >= {**own, "learning_rate": 0.25, "epochs": 4}.items() and glow >= lines.items()


def test_the_hash_depends_on_what_decides_numbers_only_and_resolving_leaves_the_config_alone(config):
    def digest(config: Json, seed: int = 0) -> str:
        return sha256_json(resolve(config, "tiny", "blobs", "vae", seed))

    before = digest(config)
    reordered = dict(reversed(config.items()))
    reordered["models"]["vae"]["network"] = dict(reversed(config["models"]["vae"]["network"].items()))
    assert digest(reordered) == digest(config | {"runtime": {"device": "cuda"}}) == before != digest(config, seed=1)
    others = """
    models: {vae: {label: L, color: '#000000', marker: o}, glow: {network: {width: 99}}}
    datasets: {blobs: {root: elsewhere}}
    """
    config = merge(config, yaml.safe_load(others))
    assert digest(config) == before
    unchanged = copy.deepcopy(config)
    found = run(config, "vaeglow")
    found["training"]["betas"].append(1)
    found["base"]["network"]["fc_dim"] = -1
    assert config == unchanged


EFFECTIVE = yaml.safe_load("""
seeds: [0]
tables: {t: {dataset: a, rows: [1, 2]}}
evaluation: {batch_size: 100, importance_images: 5}
presets: {p: {tables: {t: {dataset: b}}, evaluation: {batch_size: 10}}, q: {}}
overrides: {evaluation: {batch_size: 1}, seeds: [7]}
""")


def test_effective_is_base_then_preset_then_overrides_and_lists_are_replaced():
    expected = "{preset: p, seeds: [7], tables: {t: {dataset: b, rows: [1, 2]}}}"
    evaluation = {"batch_size": 1, "importance_images": 5}
    assert view_of(EFFECTIVE, "p") == yaml.safe_load(expected) | {"evaluation": evaluation}
    assert view_of(EFFECTIVE | {"overrides": None}, "q")["evaluation"]["batch_size"] == 100


UNFIT = yaml.safe_load("""
- [vae, {size: 24}, {}, needs a side that is a power of two]
- [vaeglow, {size: 24}, {}, model vae needs a side that is a power of two]
- [vaeglow, {size: 8}, {squeeze: 3}, "has squeeze 3 and 1 level, which do not divide the side"]
- [vaeglow, {size: 8}, {levels: 4}, "has squeeze 2 and 4 levels, which do not divide the side"]
- [vaeglow, {channels: 1}, {squeeze: 1}, cannot split one channel in two]
- [glow, {size: 6}, {}, "model glow has 2 levels, which do not divide the side"]
""")


@pytest.mark.parametrize(("model", "data", "layer", "message"), UNFIT)
def test_images_a_model_cannot_take(model, data, layer, message, config):
    config["datasets"]["blobs"] |= data
    config["models"]["vaeglow"]["layer"] |= layer
    with user_error(rf"(?=.*dataset blobs).*{message}"):
        run(config, model)


@pytest.mark.parametrize("preset", SHIPPED["presets"])
def test_glow_under_the_papers_schedule_has_the_vaes_schedule(preset):
    for dataset in (name for name, data in SHIPPED["datasets"].items() if data["channels"] == 3):
        models = ("vae", "glow", "glow_paper_schedule")
        vae, glow, ours = (resolve(SHIPPED, preset, dataset, model, 0)["training"] for model in models)
        assert ours["epochs"] == glow["epochs"]
        for key in ("learning_rate", "schedule", "optimizer", "warmup_epochs"):
            assert ours[key] == vae[key]


def test_a_role_moves_every_entry_that_names_it():
    view = demo("{overrides: {roles: {main: cifar10}}}")
    datasets = set()
    for section in ("tables", "figures"):
        for name in view[section]:
            datasets |= {row["dataset"] for row in plan.filled_in(view, section, name)["rows"]}
    assert datasets >= {"cifar10", "photos64"}
    assert "photos32" not in datasets


def test_a_whole_number_is_a_temperature_of_a_claim_as_of_a_row():
    view = demo("{claims: {flow_prior_grey: {better: {temperature: 2}}}}")
    assert targets.temperatures({"demo": view})[-1] == 2.0
    assert isinstance(targets.temperatures({"demo": view})[-1], float)


def test_where_no_claim_is_wanted_no_ledger_is():
    for only, files in {"table1": 0, "flow_prior_grey": 4}.items():
        view = demo(f"{{only: [{only}]}}")
        assert sum("claims" in file for file in targets.everything(SHIPPED, view)) == files


def test_rows_take_their_dataset_from_the_entry_and_their_temperatures_apart():
    rows = "[{model: vae, temperatures: [0, 1]}, {model: glow, dataset: main, temperature: 1}]"
    about = "kind: quality, title: t, caption: c, published: null, dataset: faces"
    found = plan.filled_in(demo(f"{{tables: {{t: {{{about}, rows: {rows}}}}}}}"), "tables", "t")["rows"]
    expected = [("vae", "photos64", "0.0"), ("vae", "photos64", "1.0"), ("glow", "photos32", "1.0")]
    assert [(row["model"], row["dataset"], str(row["temperature"])) for row in found] == expected


def test_a_wide_row_keeps_its_temperatures_and_needs_each():
    view = demo()
    assert plan.filled_in(view, "tables", "training")["rows"][0]["temperatures"] == [0.5, 1.0]
    found = [need for need in plan.needs(view, "tables", "training") if need["model"] == "vaeglow"]
    assert sorted(need["temperature"] for need in found if need["what"] == "metrics") == [0.5, 1.0]


def test_a_table_of_training_times_needs_those_of_all_bases():
    table = "{kind: training_time, title: Times, caption: '', rows: [{model: beyond}, {model: glow}]}"
    view = view_of(merge(SHIPPED, {"tables": {"times": yaml.safe_load(table)}}), "cpu")
    timed = {need["model"] for need in plan.needs(view, "tables", "times") if need["what"] == "timing"}
    assert timed == {"beyond", "beyond_three_levels", "vae_small", "glow"}


def test_all_that_tables_and_claims_time_on_one_dataset_is_timed_together():
    table4, sampled = ({row["model"] for row in SHIPPED["tables"][name]["rows"]} for name in ("table4", "sampling"))
    moved = demo("{overrides: {roles: {main: photos32}}}")  # the paper's own tables are of photos32, too
    for view, preset, dataset, models in (
        (demo(), "paper", "photos32", table4),
        (demo(), "demo", "photos32", table4 | sampled),
        (demo(), "demo", "cifar10", set()),
        (moved, "paper", "photos32", table4),
    ):
        assert {*plan.timed_models(view, preset, dataset)} == models


def test_models_that_cannot_take_the_images_are_no_runs_and_their_claims_say_why():
    changes = "{overrides: {roles: {main: digits32}}}"
    view = demo(changes)
    runs = plan.runs(merge(SHIPPED, yaml.safe_load(changes)), view)
    assert ("digits32", "vaeglow") in runs and ("digits32", "vaeglow_as_written") not in runs
    found = plan.claims(view)
    assert found["quality_main"]["run"] and not found["squeeze_likelihood"]["run"]
    assert "vaeglow_as_written cannot split one channel" in found["squeeze_likelihood"]["unfit"]
    assert all(need["model"] != "vaeglow_as_written" for need in plan.needs(view, "claims"))


def test_rows_of_models_for_colour_are_left_out_on_grey_images_and_say_why():
    """But not an entry's only rows, nor those of a model that cannot take the size: such a run is refused."""
    only = "{kind: quality, title: t, caption: c, published: null, rows: [{model: vaeglow_as_written, temperature: 1}]}"
    view = demo(f"{{overrides: {{roles: {{main: digits32}}}}, tables: {{only: {only}}}}}")
    kept = plan.filled_in(view, "tables", "only")
    assert [row["model"] for row in kept["rows"]] == ["vaeglow_as_written"] and "left_out" not in kept
    left = plan.filled_in(view, "tables", "table2")
    assert [row["model"] for row in left["rows"]] == ["glow", "vae", "vaeglow", "vaeglow"]
    (reason,) = left["left_out"]
    assert reason.startswith("dataset digits32 (1 channel, side 32): model vaeglow_as_written cannot split")
    assert len(plan.filled_in(view, "tables", "differences")["rows"]) == 3  # of five; one has it on its other side
    small = demo("{datasets: {photos32: {size: 24, channels: 1}}}")  # the VAEs need a power of two
    assert {"vae", "vaeglow"} <= {row["model"] for row in plan.filled_in(small, "tables", "table2")["rows"]}


@pytest.mark.parametrize("preset", SHIPPED["presets"])
def test_runs_include_bases_and_leave_out_what_is_only_timed(preset):
    only_timed = "{tables: {table4: {rows: [{model: vae_alone}]}}, models: {vae_alone: {like: vae}}}"
    view, timed = (checked(changes)[preset] for changes in ("{}", only_timed))
    runs = plan.runs(SHIPPED, view)
    main = view["roles"]["main"]
    assert {(main, "vae"), (main, "vaeglow"), (main, "vae_isotropic_standard")} <= {*runs}
    assert len(runs) == len({*runs}) and (main, "vae_alone") not in plan.runs(SHIPPED, timed)
    # a model's own `epochs` win over what it would inherit, so every preset must name them again
    epochs = {of: resolve(SHIPPED, preset, *of, 0)["training"]["epochs"] for of in runs}
    assert preset == "paper" or max(epochs.values()) <= 20, epochs


def test_seeds_multiply_the_files_of_tables_charts_and_claims_and_not_of_figures_of_images():
    one = demo()
    three = demo("{presets: {demo: {seeds: [0, 1, 2]}}}")
    for asked in (("tables", "table2"), ("figures", "quality_time"), ("claims",)):
        files = len(plan.paths(plan.needs(one, *asked)))
        assert files < len(plan.paths(plan.needs(three, *asked))) <= 3 * files
    assert plan.needs(one, "figures", "figure2") == plan.needs(three, "figures", "figure2")


def test_samples_suffice_for_the_largest_protocol_on_a_dataset_and_every_row_of_a_sheet():
    views = checked()
    large = checked("{overrides: {figures: {samples: {columns: 40, lines_per_row: 20}}}}")
    faces = demo("{presets: {demo: {tables: {table3: {protocol: test-10k-2048}}}}}")
    near = demo("{overrides: {probes: {nearest_training: {samples: 90}}}}")
    beside = demo("{overrides: {figures: {figure4: {lines: 10, beside: {model: glow, temperature: 1.0}}}}}")
    for view, dataset, model, count, shown in (
        (views["paper"], "cifar10", "glow", 30000, 64),  # three sets; Figure 2
        (views["paper"], "photos64", "glow", 30000, plan.KEPT_IMAGES),  # in no table
        (faces, "photos64", "glow", 10000, plan.KEPT_IMAGES),
        (faces, "photos32", "glow", 64, 64),
        (near, "photos32", "glow", 90, 64),
        (beside, "photos32", "glow", 64, 64),
        (beside, "photos64", "glow", 64, 50),  # five in each line
        (large["demo"], "photos32", "glow", 800, 800),
        (large["paper"], "cifar10", "glow", 30000, 800),  # the protocol asks for more
    ):
        assert plan.sample_counts(view, dataset, model, 1.0) == {"count": count, "shown": shown}


def test_a_study_keeps_what_belongs_to_no_run_whatever_the_dataset_is_called():
    changes = "{datasets: {seed1: {kind: npz, file: x, size: 32}}, overrides: {roles: {main: seed1}}}"
    study = plan.study(merge(SHIPPED, yaml.safe_load(changes)), demo(changes))
    assert "demo/seed1/timing.json" in study["others"] and not any("/seed0/" in file for file in study["others"])
    bases = {folder: run["base"] for folder, run in study["runs"].items()}
    assert bases["demo/seed1/vae/seed0"] is None
    assert bases["demo/seed1/vaeglow/seed0"] == "demo/seed1/vae/seed0"
    assert bases["demo/seed1/glow/seed0"] is None


def test_importance_weighted_bounds_are_evaluated_of_the_runs_that_show_them():
    runs = [("photos32", "glow"), ("photos32", "residual_flow"), ("photos64", "glow")]
    assert [plan.importance_samples(demo(), *of) for of in runs] == [[10], [], []]


def test_a_figure_of_images_shows_the_first_seed_and_is_given_the_splits_it_shows():
    rows = "[{data: val}, {model: vae, temperature: 0}, {data: test}]"
    view = demo(f"{{presets: {{demo: {{seeds: [7, 2], figures: {{samples: {{rows: {rows}}}}}}}}}}}")
    about = {"name": "samples", "preset": "demo", "seeds": [7], "dataset": "photos32"}
    assert about.items() <= plan.spec(view, "figures", "samples").items()
    assert plan.paths(plan.needs(view, "figures", "samples")) == ["results/demo/photos32/vae/seed7/shown/T0.0.npz"]
    folder = "resources/data/photos32"
    assert plan.figure_data(view, "samples", "images") == [f"{folder}/val.npy", f"{folder}/test.npy"]
    assert plan.figure_data(view, "samples", "info") == [f"{folder}/dataset.json"]


@pytest.mark.parametrize("dataset, embedded", [("photos32", True), ("cifar10", False)])
def test_a_figure_of_images_neither_embedded_nor_there_stays(dataset, embedded, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    changes = f"{{overrides: {{roles: {{main: {dataset}}}}}}}"
    config = merge(SHIPPED, yaml.safe_load(changes))
    view = demo(changes)
    built = ["results/table2.csv", "results/samples.png"]
    images = plan.figure_data(view, "samples", "images")
    for name in built:
        write_text(name, "")
    assert targets.drawn(config, view) == (built if embedded else built[:1])
    note = f"note: results/samples.png is left as it is: it shows images of {images[0]}, not there\n"
    assert capsys.readouterr().err == ("" if embedded else note)
    for name in images:
        write_text(name, "")
    assert targets.drawn(config, view) == built


def test_a_spec_has_the_look_of_each_model_it_shows_and_none_is_inherited():
    rows = "rows: [{model: mine, temperature: 1}]"
    view = demo(f"{{models: {{mine: {{like: vaeglow}}}}, overrides: {{tables: {{squeeze: {{{rows}}}}}}}}}")
    styles = plan.spec(view, "tables", "squeeze")["styles"]
    assert styles["vae"] == {key: SHIPPED["models"]["vae"][key] for key in ("label", "color", "marker")}
    assert {*styles} == {"mine", "vae"} and styles["mine"]["label"] == "mine"  # vae: its base
    styles = plan.spec(view, "claims")["styles"].values()
    assert len({(look["color"], look["marker"]) for look in styles}) == len(styles)
