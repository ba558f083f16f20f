"""Keys, types and ranges of the config: the schema file with the kinds' own keys in it, and one-line errors."""

from __future__ import annotations

import functools
import importlib
import math
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaeglow.config.layers import nearest
from vaeglow.errors import UserError

# Where the kinds of a section's entries are declared: members with a `SCHEMA`, {key: its schema}, and a docstring.
DECLARED = {
    "datasets": "vaeglow.data.kinds:KINDS",
    "models": "vaeglow.models.kinds:KINDS",
    "tables": "vaeglow.reporting.tables:KINDS",
    "figures": "vaeglow.reporting.figures:KINDS",
    "claims": "vaeglow.reporting.claims:KINDS",
}
Schema = dict[str, Any]
CHANGED = ("seeds", "training", "evaluation", "probes", "timing", "roles", "protocols")  # by presets, any part of them
CHANGED_OF_DATASETS = ("train_subset", "models")


@functools.cache
def kinds(section: str) -> dict[str, Any]:
    """{kind: the module that declares it} of the entries of a section in `DECLARED`."""
    module, _, member = DECLARED[section].partition(":")
    place = importlib.import_module(module)
    for found in pkgutil.iter_modules(getattr(place, "__path__", ())):
        importlib.import_module(f"{module}.{found.name}")
    members = getattr(place, member) if member else place
    members = members if isinstance(members, Mapping) else vars(members)
    return {name: value for name, value in members.items() if hasattr(value, "SCHEMA")}


def declared(schema: Schema, section: str) -> tuple[Schema, dict[str, Schema]]:
    """The keys that all entries of a section have, and `{kind: {"description", "properties"}}` of each kind's own.

    Args:
        schema: the content of the schema file.
        section: one of `DECLARED`.
    """
    entry = schema["properties"][section]["additionalProperties"]
    return entry["properties"], {
        kind: {"description": (module.__doc__ or "").split("\n")[0], "properties": module.SCHEMA}
        for kind, module in kinds(section).items()
    }


def complete(schema: Schema) -> Schema:
    """The schema of the whole config.

    Args:
        schema: the content of the schema file; its head says what is added here.
    """
    strict, partial = closed(schema), closed(schema, needed=False)["properties"]
    defs, top = strict["$defs"], strict["properties"]
    changes = {section: partial[section] for section in CHANGED}
    for section in DECLARED:
        common, own = declared(schema, section)
        entry = {"type": "object", "required": ["kind"], "properties": {"kind": {"enum": list(own)}}}
        entry["allOf"] = [
            {
                "if": {"required": ["kind"], "properties": {"kind": {"const": kind}}},
                "then": closed({"type": "object", "properties": {"kind": {}, **common, **value["properties"]}}),
            }
            for kind, value in own.items()
        ]
        top[section]["additionalProperties"] = entry
        keys = {key: {} for keys in (common, *(value["properties"] for value in own.values())) for key in keys}
        changes[section] = {"type": "object", "additionalProperties": admit(keys)}
    # Of a model that is `like` another only the merged values can be judged (`vaeglow.config.check.check_models`).
    like = admit({"like": {"type": "string"}, **changes["models"]["additionalProperties"]["properties"]})
    defs["model"] = top["models"]["additionalProperties"]
    top["models"]["additionalProperties"] = {
        "if": {"required": ["like"]},
        "then": like,
        "else": {"$ref": "#/$defs/model"},
    }
    changes["models"] = defs["model_changes"]
    common, _ = declared(schema, "datasets")
    changes["datasets"]["additionalProperties"] = admit({key: common[key] for key in CHANGED_OF_DATASETS})
    defs["training_changes"], defs["changes"] = partial["training"], admit(changes)
    return strict


def admit(properties: Schema) -> Schema:
    """The schema of an object that may have these keys and no other."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


def closed(schema: Any, needed: bool = True) -> Any:
    """A copy in which every object takes the keys of its `properties` only and needs those without a `default`.

    Args:
        schema: with `type: object` where that is meant, and not in a condition.
        needed: False for a part of such an object: no key is needed.
    """
    if isinstance(schema, list):
        return [closed(inner, needed) for inner in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {key: closed(value, needed) for key, value in schema.items()}
    if found.get("type") == "object" and "properties" in found:
        required = [key for key, value in schema["properties"].items() if "default" not in value and value]
        found = {"additionalProperties": False, **({"required": required} if needed else {}), **found}
    return found


@functools.cache
def read_schema(path: str | Path) -> Schema:
    """The content of the schema file, with the keys that all datasets have, and those of the probes."""
    import yaml

    from vaeglow.data.kinds import COMMON
    from vaeglow.evaluation.probes import NAMES, probe

    schema = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    datasets, probes = (schema["properties"][section] for section in ("datasets", "probes"))
    datasets["additionalProperties"]["properties"] = COMMON | datasets["additionalProperties"]["properties"]
    probes["properties"] = {name: {"type": "object", "properties": probe(name).SCHEMA} for name in NAMES}
    return schema


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


def validate(config: Mapping[str, Any], schema: Schema, place: str = "") -> None:
    """Check the config, or the part of it at `place`, against a schema; the first error becomes one line.

    Raises:
        UserError: names the key, and for an unknown key the nearest legal one.
    """
    errors = list(validator_class()(schema).iter_errors(config))
    if errors:
        first = min(errors, key=lambda error: (len(error.absolute_path), str(error.absolute_path)))
        raise UserError(f"config: {explain(first, place)}")


def explain(error: Any, place: str = "") -> str:
    """One line for one jsonschema error in the part of the config at `place`."""
    where = ".".join([*([place] if place else []), *(str(part) for part in error.absolute_path)])
    if error.validator in ("anyOf", "oneOf") and error.context:
        return explain(max(error.context, key=lambda inner: len(inner.absolute_path)), place)
    if error.validator == "additionalProperties":
        legal = list(error.schema.get("properties", {}))
        key = next(key for key in error.instance if key not in legal)
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
