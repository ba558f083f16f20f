"""The config: what the user writes, and how its layers become the plain dict that describes one run. No torch.

`schema` knows keys, types and ranges, `check` finds everything that can be wrong before the first job, `plan` says what
tables, figures and claims need.

Layers, each overriding the one before: what all models share (`training`), a model's own entry, the dataset's, the
preset's, the preset's for that dataset, and the user's `overrides`. A model that is `like` another inherits the other's
values from every layer, except those that some layer sets for the model itself. The result holds only what decides a
run's numbers, so its hash is the run's identity, and a change of anything else reruns nothing.
"""

from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from difflib import get_close_matches
from pathlib import Path
from textwrap import shorten
from types import MappingProxyType
from typing import Any, BinaryIO, TypeAlias

from vaeglow.config.registry import kinds_of, neutral_values
from vaeglow.errors import UnfitGrey, UnfitImages, UserError
from vaeglow.files import AnyPath, Config, Facts

# The files of the folder config/: each is merged over those before.
FILES = (
    *("claims.yaml", "embedded.yaml", "models.yaml", "evaluation.yaml"),
    *("tables_figures.yaml", "presets.yaml", "config.yaml"),
)
Load: TypeAlias = Callable[[BinaryIO], Any]
SHOWN = ("tables", "figures", "claims")  # the sections that `only` chooses from
EMPTY: Config = MappingProxyType({})
STYLE = ("label", "color", "marker")  # of a model: how reports show it, not part of a run


def merge(*layers: Config) -> Facts:
    """A deep copy of the first with the others on top, in order: mappings merge key by key, all else is replaced."""
    merged: Facts = {}
    for layer in layers:
        add_layer(merged, layer)
    return merged


def add_layer(merged: Facts, layer: Config) -> None:
    """Put a deep copy of a layer on top of what is merged so far, in place: a check merges thousands."""
    for key, value in layer.items():
        if isinstance(value, Mapping):
            if not isinstance(merged.get(key), dict):
                merged[key] = {}
            add_layer(merged[key], value)
        else:
            merged[key] = deepcopy(value) if isinstance(value, list) else value


def config_file(shipped: Callable[[str], AnyPath], whole: bool, name: str) -> AnyPath:
    """A file of config/: the working folder's own, else the one that comes with the package.

    Args:
        shipped: gives the path of a file of the package.
        whole: own files count only if all are there, as after `vaeglow init`: other projects have a config.yaml, too.
        name: one of `FILES`.
    """
    needed = FILES if whole else [name]
    own = all(Path("config", file).exists() for file in needed)
    return Path("config", name) if own else shipped(f"config/{name}")


def read_config(find: Callable[[str], AnyPath], load: Load | None = None) -> Facts:
    """The config without an overlay; `find` gives the path of each of its `FILES`. See `read_layer`."""
    return merge(*(read_layer(find(name), load) for name in FILES))


def read_layer(path: AnyPath, load: Load | None = None) -> Facts:
    """One file of a config; `load` reads YAML, `yaml.safe_load` if left out.

    Raises:
        UserError: it is missing, not YAML, or not a mapping.
    """
    import yaml

    try:
        with open(path, "rb") as file:
            layer = (load or yaml.safe_load)(file) or {}  # nothing but comments: no keys
    except (FileNotFoundError, IsADirectoryError):
        raise UserError(f"{path} is not a file: correct the path") from None
    except yaml.YAMLError as error:  # it names the file
        raise UserError(f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(layer, dict):
        raise UserError(f"{path}: its top level must be `key: value`, not a {type(layer).__name__}")
    return layer


def without(values: Config, other: Config, equal: bool = False) -> Facts:
    """`values` without the keys of `other`, in the mappings of both, too; of `equal` ones only, where that is asked."""
    left = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(other.get(key), Mapping):
            inside = without(value, other[key], equal)
            if inside:
                left[key] = inside
        elif key not in other or (equal and value != other[key]):
            left[key] = value
    return left


def lookup(table: Config, name: str, what: str) -> Any:
    """`table[name]`.

    Raises:
        UserError: no such name; the message names the nearest one.
    """
    if name not in table:
        raise UserError(f"unknown {what} '{name}'{nearest(name, table)}: the config has {several(table)}")
    return table[name]


def several(names: Iterable[str]) -> str:
    """Names as a message lists them: as many as fit into 200 characters."""
    return shorten(", ".join(names), 200, placeholder=" ...")


def nearest(name: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the legal name closest to `name`, or nothing."""
    close = get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def view_of(config: Config, preset: str) -> Facts:
    """The config as a preset sees it: the top level, the preset's differences, the user's overrides; of `only` that.

    Its `preset` is that preset's name. A model's values keep their layers (see `resolve`); read everything else here.
    """
    difference = lookup(config["presets"], preset, "preset")
    top = without(config, {"presets": None, "overrides": None})
    view = merge({**top, "preset": preset}, difference, config.get("overrides") or {})
    only = view.get("only")
    if only is not None:
        for section in SHOWN:
            view[section] = {name: entry for name, entry in view[section].items() if name in only}
    return view


def ancestry(models: Config, model: str) -> list[str]:
    """The names a model inherits from, itself first.

    Raises:
        UserError: an unknown name, or a cycle of `like`.
    """
    chain: list[str] = []
    name: str | None = model
    while name is not None:
        if name in chain:
            raise UserError(f"models.{model}: 'like' forms a cycle through {name}")
        chain.append(name)
        name = lookup(models, name, "model").get("like")
    return chain


def inherited(config: Config, model: str, key: str) -> str | None:
    """A model's `kind`, `mode` or `base`: its own, or that of the nearest model it is `like`; None without one."""
    models = config["models"]
    return ChainMap(*(models[name] for name in ancestry(models, model))).get(key)


def layers_of(config: Config, preset: str, dataset: str) -> list[Config]:
    """The top level, the preset and the user's overrides, each followed by its entry for the dataset."""
    lookup(config["datasets"], dataset, "dataset")
    layers = []
    for whole in (config, lookup(config["presets"], preset, "preset"), config.get("overrides") or {}):
        layers += [whole, whole.get("datasets", {}).get(dataset, {})]
    return layers


def describe_model(config: Config, preset: str, dataset: str, model: str) -> Facts:
    """All of a model's values under a preset and dataset, layers merged, `like` followed, without neutral ones."""
    layers = layers_of(config, preset, dataset)
    own: list[Config] = [{}] * len(layers)  # of each layer: its entries for the model and its ancestors
    nearer: Config = {}  # what the model and the ancestors so far set in any layer
    for name in ancestry(config["models"], model):
        entries = [layer.get("models", {}).get(name, {}) for layer in layers]
        own = [merge(without(entry, nearer), set_before) for entry, set_before in zip(entries, own, strict=True)]
        nearer = merge(nearer, *entries)
    merged: Facts = {}
    for layer, entry in zip(layers, own, strict=True):
        merged = merge(merged, {"training": layer.get("training", {})}, entry)
    values = without(merged, dict.fromkeys(("like", *STYLE)))
    return without(values, neutral_values(str(values.get("kind"))), equal=True)


def resolve(
    config: Config, preset: str, dataset: str, model: str, seed: int, known: Mapping[str, Facts] = EMPTY
) -> Facts:
    """The plain dict that decides one run's numbers, by the checked config; written to its `config.json`.

    A check asks for all models: `known` has what `describe_model` has said of those on this dataset.

    Returns:
        `{"preset", "dataset", "model", "seed", "kind", "data", "training", "base"}` and the other keys of the model's
        kind; `base` is the resolved config of its base model under the same seed (mode joint: of the VAE whose
        architecture it takes, without `training`), or None. Keys at their neutral value are left out.

    Raises:
        UserError: an unknown name, training values that contradict each other, or see the kind's `wrong_base`.
        UnfitImages: see the kind's `wrong_images`; UnfitGrey where three channels would fit.
    """
    described = known.get(model) or describe_model(config, preset, dataset, model)
    kind = kinds_of("models")[described["kind"]]
    base = None
    if "base" in described:  # checked before it is resolved: it could be the model itself
        name = described["base"]
        wrong = kind.wrong_base(described, known.get(name) or describe_model(config, preset, dataset, name))
        if wrong:
            raise UserError(f"models.{model}: base '{name}' {wrong}")
        base = resolve(config, preset, dataset, name, seed, known)
        if described.get("mode") == "joint":  # only the architecture is taken
            del base["training"]
    wrong = wrong_training(described, kind)
    if wrong:
        raise UserError(f"models.{model}: training.{wrong}")
    data = {"channels": 3, "levels": 256, "train_subset": None, **merge(*layers_of(config, preset, dataset)[1::2])}
    channels, side = data["channels"], data["size"]
    wrong = kind.wrong_images(described, channels, side)
    if wrong:
        error = UnfitImages if kind.wrong_images(described, 3, side) else UnfitGrey
        raise error(f"dataset {dataset} ({channels} channel{'s'[: channels - 1]}, side {side}): model {model} {wrong}")
    run = {"preset": preset, "dataset": dataset, "model": model, "seed": int(seed)}
    shape = {key: data[key] for key in ("channels", "size", "levels", "train_subset")}
    return {**run, **described, "data": shape, "base": base}


def wrong_training(described: Config, kind: Any) -> str:
    """Which values of a model's `training` contradict each other or its kind, and what to do; empty if none do."""
    training = described["training"]
    if kind.KL_FREE and training["kl_weight"] != 1:
        weight = training["kl_weight"]
        return f"kl_weight is {weight}, but a {described['kind']} {kind.KL_FREE}: leave it at 1 there"
    if training["snapshots"] != sorted(set(training["snapshots"])):
        return f"snapshots {training['snapshots']} must rise: list each fraction once, in order"
    devices = training["devices"]
    batch = training["batch_size"]
    if batch % devices:
        return f"devices is {devices}, which does not divide training.batch_size, {batch}: each takes as many images"
    return ""


def with_neutral(run: Config) -> Facts:
    """A resolved config with the neutral values that it lacks, and its base's: a model is built and trained by it."""
    whole = merge(neutral_values(run["kind"]), run)
    if run.get("base"):
        whole["base"] = with_neutral(run["base"])
    return whole


def phases(run: Config) -> list[Config]:
    """All that is trained for a run, by resolved configs: its base, unless only its architecture is taken; itself."""
    base = run["base"]
    return [*phases(base), run] if base and "training" in base else [run]
