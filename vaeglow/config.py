"""From `config/config.yaml` to the plain dict that describes one run. Pure: no torch, no snakemake.

Layers, each overriding the one before: what all models share (`training`), a model's own values (first
those of the model it is `like`), the dataset's, the preset's, the preset's for that dataset, and the user's
`overrides`. The result holds only what decides a run's numbers, so it is written beside the run, its
hash is the run's identity, and a change of anything else reruns nothing.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from vaeglow.errors import UserError
from vaeglow.kinds import PARTS, check_base, check_images, check_parts, check_training

FORMAT = 2
# Keys of `training` that are younger than the format, each with the value that is what runs did before there was one.
# At that value a resolved config leaves them out, so that runs of before stay what they are.
LATER = {"precision": "float32", "compile": False, "devices": 1}  # YAML reads `off` as False


def merge(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of `base` with `change` on top: mappings merge key by key, all else is replaced."""
    merged = {}
    for key in dict.fromkeys([*base, *change]):
        old, new = base.get(key), change.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            merged[key] = merge(old, new)
        else:
            merged[key] = copied(new if key in change else old)
    return merged


def copied(value: Any) -> Any:
    """A deep copy of a JSON value; `copy.deepcopy` takes several times as long, and planning copies often."""
    if isinstance(value, dict):
        return {key: copied(inner) for key, inner in value.items()}
    return [copied(inner) for inner in value] if isinstance(value, list) else value


def lookup(table: Mapping[str, Any], name: str, what: str) -> Any:
    """`table[name]`.

    Raises:
        UserError: no such name; the message names the nearest one.
    """
    if name not in table:
        raise UserError(f"unknown {what} '{name}'{nearest(name, table)}: config/config.yaml has {', '.join(table)}")
    return table[name]


def nearest(name: str, names: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the legal name closest to `name`, or nothing."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean '{close[0]}'?)" if close else ""


def effective(config: Mapping[str, Any], preset: str) -> dict[str, Any]:
    """The whole config as `preset` sees it: the base, the preset's differences, the user's overrides.

    A model's values keep their layers (see `resolve`); read tables, protocols, seeds and evaluation here.
    """
    difference = lookup(config["presets"], preset, "preset")
    whole = {key: value for key, value in config.items() if key not in ("presets", "overrides")}
    return merge(merge(whole, difference), config.get("overrides") or {})


def section(config: Mapping[str, Any], preset: str, name: str) -> dict[str, Any]:
    """One section of `effective`, without the cost of the rest."""
    difference, overrides = lookup(config["presets"], preset, "preset"), config.get("overrides") or {}
    return merge(merge(config[name], difference.get(name, {})), overrides.get(name, {}))


def as_before(training: Mapping[str, Any]) -> dict[str, Any]:
    """A run's `training` values with those of `LATER` that it leaves out."""
    return {**LATER, **training}


def ancestry(models: Mapping[str, Any], model: str) -> list[str]:
    """The names a model inherits from, oldest first, itself last.

    Raises:
        UserError: an unknown name, or a circle of `like`.
    """
    chain: list[str] = []
    name: str | None = model
    while name is not None:
        if name in chain:
            raise UserError(f"models.{model}: 'like' goes round in a circle through {name}")
        chain.append(name)
        name = lookup(models, name, "model").get("like")
    return chain[::-1]


def kind_of(config: Mapping[str, Any], model: str) -> str:
    """A model's kind (vae | vae_glow | glow), its own or that of the model it is `like`."""
    return config["models"][ancestry(config["models"], model)[0]]["kind"]


def mode_of(config: Mapping[str, Any], model: str) -> str | None:
    """How a vae_glow is trained (frozen | joint | finetune), its own mode or that of what it is `like`; else None."""
    modes = [config["models"][name].get("mode") for name in ancestry(config["models"], model)]
    return next((mode for mode in reversed(modes) if mode is not None), None)


def describe_model(config: Mapping[str, Any], preset: str, dataset: str, model: str) -> dict[str, Any]:
    """All of a model's values under a preset and dataset, layers merged, `like` followed."""
    chain = ancestry(config["models"], model)
    difference = lookup(config["presets"], preset, "preset")
    overrides = config.get("overrides") or {}
    layers: list[Mapping[str, Any]] = [
        {"training": config["training"], "models": config["models"]},
        lookup(config["datasets"], dataset, "dataset"),
        difference,
        difference.get("datasets", {}).get(dataset, {}),
        overrides,
        overrides.get("datasets", {}).get(dataset, {}),
    ]
    merged: dict[str, Any] = {}
    for layer in layers:
        if "training" in layer:
            merged = merge(merged, {"training": layer["training"]})
        for name in chain:
            merged = merge(merged, layer.get("models", {}).get(name, {}))
    merged.pop("like", None)
    return merged


def resolve(config: Mapping[str, Any], preset: str, dataset: str, model: str, seed: int) -> dict[str, Any]:
    """The plain dict that decides one run's numbers; written to its `config.json`.

    Args:
        config: the validated content of config.yaml (and overlays).
        preset: a name in `presets`.
        dataset: a name in `datasets`.
        model: a name in `models`.
        seed: the run's seed; a base model is resolved under the same seed.

    Returns:
        `{"format", "preset", "dataset", "model", "seed", "kind", "data", "network", "prior", "mode", "layer",
        "training", "base"}`, without the parts the kind does not have; `base` is the resolved config of
        the model this one stands on (mode joint: of the VAE whose architecture it takes, without `training`), or None.

    Raises:
        UserError: an unknown name, a part that does not belong to the model's kind, an illegal circle.
    """
    described = describe_model(config, preset, dataset, model)
    data = section(config, preset, "datasets")[dataset]
    check_parts(model, described)
    kind = described["kind"]
    check_training(model, kind, described["training"])
    base = None
    if "base" in described:  # checked before it is resolved: it could be the model itself
        check_base(model, described, describe_model(config, preset, dataset, described["base"]))
        base = resolve(config, preset, dataset, described["base"], seed)
        if described.get("mode") == "joint":  # only the architecture is taken
            del base["training"]
    check_images(model, kind, described, data, dataset)
    return {
        "format": FORMAT,
        "preset": preset,
        "dataset": dataset,
        "model": model,
        "seed": int(seed),
        "kind": kind,
        "data": {
            "channels": data.get("channels", 3),
            "size": data["size"],
            "levels": data.get("levels", 256),
            "train_subset": data.get("train_subset"),
        },
        **{part: described[part] for part in PARTS[kind]},
        "training": {key: value for key, value in described["training"].items() if LATER.get(key) != value},
        "base": base,
    }


@functools.cache
def validator_class() -> Any:
    """JSON schema's rules, stricter on numbers: 16.0 is no integer, NaN and infinity are no numbers."""
    import jsonschema

    plain = jsonschema.Draft202012Validator
    types = plain.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _, value: isinstance(value, int) and not isinstance(value, bool),
            "number": lambda checker, value: (
                checker.is_type(value, "integer") or (isinstance(value, float) and math.isfinite(value))
            ),
        }
    )
    return jsonschema.validators.extend(plain, type_checker=types)


def validate(config: Mapping[str, Any], schema: Mapping[str, Any], place: str = "") -> None:
    """Check the config, or the part of it at `place`, against a JSON schema; the first error becomes one line.

    Raises:
        UserError: names the key, and for an unknown key the nearest legal one.
    """
    validator = validator_class()(schema)
    errors = sorted(
        validator.iter_errors(config), key=lambda error: (len(error.absolute_path), str(error.absolute_path))
    )
    if errors:
        raise UserError(f"config: {explain(errors[0], place)}")


def explain(error: Any, place: str = "") -> str:
    """One line for one jsonschema error in the part of the config at `place`."""
    where = ".".join([*([place] if place else []), *(str(part) for part in error.absolute_path)])
    if error.validator in ("anyOf", "oneOf") and error.context:
        return explain(max(error.context, key=lambda inner: len(inner.absolute_path)), place)
    if error.validator == "additionalProperties":
        legal = list(error.schema.get("properties", {}))
        patterns = error.schema.get("patternProperties", {})
        key = next(k for k in error.instance if k not in legal and not any(re.search(p, str(k)) for p in patterns))
        named = f"{where}.{key}" if where else str(key)
        return f"unknown key '{named}'{nearest(str(key), legal)}; legal here: {', '.join(legal) or 'nothing'}"
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"'{where or 'the top level'}' lacks the key '{missing[0]}'"
    if error.validator == "type":
        found = f"{error.instance!r} ({type(error.instance).__name__})"
        hint = ""
        if isinstance(error.instance, str) and error.validator_value in ("number", "integer"):
            hint = " (write 0.0001 or 1.0e-4 for a number; numbers nested in --config arrive as text: use --configfile)"
        return f"'{where}' is {found}, not of type {error.validator_value}{hint}"
    return f"'{where}': {error.message}"
