"""The config: what the user writes, and how its layers become the plain dict that describes one run. No torch.

`schema` knows keys, types and ranges, `check` finds everything that can be wrong before the first job, `plan` says what
tables, figures and claims need.

Layers, each overriding the one before: what all models share (`training`), a model's own entry, the dataset's, the
preset's, the preset's for that dataset, and the user's `overrides`. A model that is `like` another inherits the other's
values from every layer, except those that some layer sets for the model itself. The result holds only what decides a
run's numbers, so its hash is the run's identity, and a change of anything else reruns nothing.
"""

import copy
import difflib
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from vaeglow.errors import UnfitGrey, UnfitImages, UserError
from vaeglow.models.kinds import KINDS

# The files of the folder config/: each is merged over those before.
FILES = (
    *("claims.yaml", "embedded.yaml", "models.yaml", "evaluation.yaml"),
    *("tables_figures.yaml", "presets.yaml", "config.yaml"),
)
SHOWN = ("tables", "figures", "claims")  # the sections that `only` chooses from
STYLE = ("label", "color", "marker")  # of a model: how reports show it, not part of a run


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of the first with the others on top, in order: mappings merge key by key, all else is replaced."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(merged.get(key), Mapping) and isinstance(value, Mapping)
            merged[key] = merge(merged[key], value) if both else copy.deepcopy(value)
    return merged


def read_config(find: Callable[[str], str | Path]) -> dict[str, Any]:
    """The config without an overlay; `find` gives the path of each of its `FILES`.

    Raises:
        UserError: one is not YAML, or not a mapping.
    """
    import yaml

    layers = []
    for name in FILES:
        try:
            with open(find(name), "rb") as file:
                layers.append(yaml.safe_load(file) or {})  # nothing but comments: no keys
            if not isinstance(layers[-1], dict):
                raise UserError(f"{find(name)}: its top level must be `key: value`, not a {type(layers[-1]).__name__}")
        except yaml.YAMLError as error:  # it names the file
            raise UserError(f"not YAML: {' '.join(str(error).split())}") from error
    return merge(*layers)


def without(values: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without the keys of `other`."""
    left = {}
    for key, value in values.items():
        if key not in other:
            left[key] = value
        elif isinstance(value, Mapping) and isinstance(other[key], Mapping) and (inner := without(value, other[key])):
            left[key] = inner
    return left


def lookup(table: Mapping[str, Any], name: str, what: str) -> Any:
    """`table[name]`.

    Raises:
        UserError: no such name; the message names the nearest one.
    """
    if name not in table:
        raise UserError(f"unknown {what} '{name}'{nearest(name, table)}: the config has {several(table)}")
    return table[name]


def several(names: Iterable[str]) -> str:
    """Names as a message lists them: as many as fit into 200 characters."""
    return textwrap.shorten(", ".join(names), 200, placeholder=" ...")


def nearest(name: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the legal name closest to `name`, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def effective(config: Mapping[str, Any], preset: str) -> dict[str, Any]:
    """The config as a preset sees it: the top level, the preset's differences, the user's overrides; of `only` that.

    Its `preset` is that preset's name. A model's values keep their layers (see `resolve`); read everything else here.
    """
    difference = lookup(config["presets"], preset, "preset")
    top = {key: value for key, value in config.items() if key not in ("presets", "overrides")}
    view = merge({**top, "preset": preset}, difference, config.get("overrides") or {})
    for section in SHOWN if view.get("only") is not None else ():
        view[section] = {name: entry for name, entry in view[section].items() if name in view["only"]}
    return view


def ancestry(models: Mapping[str, Any], model: str) -> list[str]:
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


def inherited(config: Mapping[str, Any], model: str, key: str) -> str | None:
    """A model's `kind`, `mode` or `base`: its own, or that of the nearest model it is `like`; None without one."""
    found = (config["models"][name].get(key) for name in ancestry(config["models"], model))
    return next((value for value in found if value is not None), None)


def layers_of(config: Mapping[str, Any], preset: str, dataset: str) -> list[Mapping[str, Any]]:
    """The top level, the preset and the user's overrides, each followed by its entry for the dataset."""
    lookup(config["datasets"], dataset, "dataset")
    wholes = (config, lookup(config["presets"], preset, "preset"), config.get("overrides") or {})
    return [layer for whole in wholes for layer in (whole, whole.get("datasets", {}).get(dataset, {}))]


def describe_model(config: Mapping[str, Any], preset: str, dataset: str, model: str) -> dict[str, Any]:
    """All of a model's values under a preset and dataset, layers merged, `like` followed."""
    layers = layers_of(config, preset, dataset)
    own: list[Mapping[str, Any]] = [{} for _ in layers]  # of each layer: its entries for the model and its ancestors
    said: Mapping[str, Any] = {}  # of the model and its ancestors so far, by any layer
    for name in ancestry(config["models"], model):
        lines = [layer.get("models", {}).get(name, {}) for layer in layers]
        own = [merge(without(line, said), mine) if line else mine for line, mine in zip(lines, own, strict=True)]
        said = merge(said, *lines)
    shared = [{"training": layer["training"]} if "training" in layer else {} for layer in layers]
    merged = merge(*(part for parts in zip(shared, own, strict=True) for part in parts))
    return {key: value for key, value in merged.items() if key not in ("like", *STYLE)}


def resolve(config: Mapping[str, Any], preset: str, dataset: str, model: str, seed: int) -> dict[str, Any]:
    """The plain dict that decides one run's numbers, by the checked config; written to its `config.json`.

    Returns:
        `{"preset", "dataset", "model", "seed", "kind", "data", "training", "base"}` and the other keys of the model's
        kind; `base` is the resolved config of its base model under the same seed (mode joint: of the VAE whose
        architecture it takes, without `training`), or None.

    Raises:
        UserError: an unknown name, training values that contradict each other, or see the kind's `wrong_base`.
        UnfitImages: see the kind's `wrong_images`; UnfitGrey where three channels would fit.
    """
    described, base = describe_model(config, preset, dataset, model), None
    kind = KINDS[described["kind"]]
    if "base" in described:  # checked before it is resolved: it could be the model itself
        if wrong := kind.wrong_base(described, describe_model(config, preset, dataset, described["base"])):
            raise UserError(f"models.{model}: base '{described['base']}' {wrong}")
        base = resolve(config, preset, dataset, described["base"], seed)
        if described.get("mode") == "joint":  # only the architecture is taken
            del base["training"]
    training, place = described["training"], f"models.{model}: training"
    batch, devices, snapshots = training["batch_size"], training["devices"], training["snapshots"]
    if kind.KL_FREE and (weight := training["kl_weight"]) != 1:
        raise UserError(f"{place}.kl_weight is {weight}, but a {described['kind']} {kind.KL_FREE}: leave it at 1 there")
    if snapshots != sorted(set(snapshots)):
        raise UserError(f"{place}.snapshots {snapshots} must rise: list each fraction once, in order")
    if batch % devices:
        divided = f"which does not divide training.batch_size, {batch}: each takes as many images"
        raise UserError(f"{place}.devices is {devices}, {divided}")
    data = {"channels": 3, "levels": 256, "train_subset": None, **merge(*layers_of(config, preset, dataset)[1::2])}
    channels, side = data["channels"], data["size"]
    if wrong := kind.wrong_images(described, channels, side):
        kept = UnfitImages if kind.wrong_images(described, 3, side) else UnfitGrey
        raise kept(f"dataset {dataset} ({channels} channel{'s'[: channels - 1]}, side {side}): model {model} {wrong}")
    run = {"preset": preset, "dataset": dataset, "model": model, "seed": int(seed)}
    shape = {key: data[key] for key in ("channels", "size", "levels", "train_subset")}
    return {**run, **described, "data": shape, "base": base}


def phases(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All that is trained for a run, by resolved configs: its base, unless only its architecture is taken; itself."""
    return [*(phases(run["base"]) if "training" in (run["base"] or {}) else []), run]
