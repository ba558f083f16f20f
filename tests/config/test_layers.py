"""From layers to one resolved config, and the models and images that it refuses."""

import copy

import pytest
from run_tools import CONFIG, shipped_config

from vaeglow.config import effective, merge, resolve
from vaeglow.errors import UserError
from vaeglow.files import sha256_json

SHIPPED = shipped_config()


@pytest.fixture
def config() -> dict:
    return copy.deepcopy(CONFIG)


def test_every_layer_overrides_the_one_before(config):
    """base < like < model < dataset < preset < preset's dataset < overrides < overrides' dataset."""
    config["models"]["child"] = {"like": "vae"}
    preset, change = config["presets"]["tiny"], {}
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
        ("vaeglow", {"size": 8}, {"layer": {"squeeze": 3}}, "has squeeze 3, which does not divide the side"),
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
