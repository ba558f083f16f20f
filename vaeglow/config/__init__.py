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

from vaeglow.config.neutral import neutral_values, without_neutral
from vaeglow.config.registry import kinds_of
from vaeglow.errors import UnfitGrey, UnfitImages, UserError

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
                layer = yaml.safe_load(file) or {}  # nothing but comments: no keys
        except yaml.YAMLError as error:  # it names the file
            raise UserError(f"not YAML: {' '.join(str(error).split())}") from error
        if not isinstance(layer, dict):
            raise UserError(f"{find(name)}: its top level must be `key: value`, not a {type(layer).__name__}")
        layers.append(layer)
    return merge(*layers)


def without(values: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """`values` without the keys of `other`."""
    left = {}
    for key, value in values.items():
        if key not in other:
            left[key] = value
        elif isinstance(value, Mapping) and isinstance(other[key], Mapping):
            inside = without(value, other[key])
            if inside:
                left[key] = inside
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
    only = view.get("only")
    if only is not None:
        for section in SHOWN:
            view[section] = {name: entry for name, entry in view[section].items() if name in only}
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
    for name in ancestry(config["models"], model):
        value = config["models"][name].get(key)
        if value is not None:
            return value
    return None


def layers_of(config: Mapping[str, Any], preset: str, dataset: str) -> list[Mapping[str, Any]]:
    """The top level, the preset and the user's overrides, each followed by its entry for the dataset."""
    lookup(config["datasets"], dataset, "dataset")
    layers = []
    for whole in (config, lookup(config["presets"], preset, "preset"), config.get("overrides") or {}):
        layers += [whole, whole.get("datasets", {}).get(dataset, {})]
    return layers


def describe_model(config: Mapping[str, Any], preset: str, dataset: str, model: str) -> dict[str, Any]:
    """All of a model's values under a preset and dataset, layers merged, `like` followed, without neutral ones."""
    layers = layers_of(config, preset, dataset)
    own: list[Mapping[str, Any]] = [{} for _ in layers]  # of each layer: its entries for the model and its ancestors
    taken: Mapping[str, Any] = {}  # keys that the model or a nearer ancestor sets in any layer
    for name in ancestry(config["models"], model):
        entries = [layer.get("models", {}).get(name, {}) for layer in layers]
        own = [merge(without(entry, taken), nearer) for entry, nearer in zip(entries, own, strict=True)]
        taken = merge(taken, *entries)
    merged: dict[str, Any] = {}
    for layer, entry in zip(layers, own, strict=True):
        shared = {"training": layer["training"]} if "training" in layer else {}
        merged = merge(merged, shared, entry)
    values = {key: value for key, value in merged.items() if key not in ("like", *STYLE)}
    return without_neutral(values, neutral_values(str(values.get("kind"))))


def resolve(config: Mapping[str, Any], preset: str, dataset: str, model: str, seed: int) -> dict[str, Any]:
    """The plain dict that decides one run's numbers, by the checked config; written to its `config.json`.

    Returns:
        `{"preset", "dataset", "model", "seed", "kind", "data", "training", "base"}` and the other keys of the model's
        kind; `base` is the resolved config of its base model under the same seed (mode joint: of the VAE whose
        architecture it takes, without `training`), or None. Keys at their neutral value are left out.

    Raises:
        UserError: an unknown name, training values that contradict each other, or see the kind's `wrong_base`.
        UnfitImages: see the kind's `wrong_images`; UnfitGrey where three channels would fit.
    """
    described = describe_model(config, preset, dataset, model)
    kind = kinds_of("models")[described["kind"]]
    base = None
    if "base" in described:  # checked before it is resolved: it could be the model itself
        wrong = kind.wrong_base(described, describe_model(config, preset, dataset, described["base"]))
        if wrong:
            raise UserError(f"models.{model}: base '{described['base']}' {wrong}")
        base = resolve(config, preset, dataset, described["base"], seed)
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


def wrong_training(described: Mapping[str, Any], kind: Any) -> str:
    """Which values of a model's `training` contradict each other or its kind, and what to do; empty if none do."""
    training = described["training"]
    batch = training["batch_size"]
    if kind.KL_FREE and training["kl_weight"] != 1:
        what = f"kl_weight is {training['kl_weight']}, but a {described['kind']} {kind.KL_FREE}"
        return f"{what}: leave it at 1 there"
    if training["snapshots"] != sorted(set(training["snapshots"])):
        return f"snapshots {training['snapshots']} must rise: list each fraction once, in order"
    if batch % training["devices"]:
        what = f"devices is {training['devices']}, which does not divide training.batch_size, {batch}"
        return f"{what}: each takes as many images"
    return ""


def with_neutral(run: Mapping[str, Any]) -> dict[str, Any]:
    """A resolved config with the neutral values that it lacks, and its base's: a model is built and trained by it."""
    whole = merge(neutral_values(run["kind"]), run)
    if run.get("base"):
        whole["base"] = with_neutral(run["base"])
    return whole


def phases(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All that is trained for a run, by resolved configs: its base, unless only its architecture is taken; itself."""
    base = run["base"]
    return [*phases(base), run] if base and "training" in base else [run]
