"""Keys, types and ranges of the config: the schema file completed with the kinds' own keys, and one-line errors."""

import functools
import importlib
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from vaeglow.config import STYLE, nearest, several
from vaeglow.errors import UserError

# Where the kinds of a section's entries are: `KINDS`, {kind: a module with a docstring and a `SCHEMA` of its own keys}
# (of a model: a class; its keys are in the schema file).
DECLARED = {
    "datasets": "vaeglow.data",
    "models": "vaeglow.models.kinds",
    "tables": "vaeglow.reporting.tables",
    "figures": "vaeglow.reporting.figures",
    "claims": "vaeglow.reporting.claims",
}
NAMED = ("datasets", "models", "protocols", "roles", "tables", "figures", "claims")
Schema = dict[str, Any]


@functools.cache
def kinds(section: str) -> dict[str, Any]:
    """{kind: what declares it, a module, a class or a function} of the entries of a section in `DECLARED`."""
    return importlib.import_module(DECLARED[section]).KINDS


def declared(schema: Schema, section: str) -> tuple[Schema, dict[str, Schema]]:
    """The keys that all entries of a section in `DECLARED` have, and {kind: {key: schema}} of each kind's own."""
    common = schema["properties"][section]["additionalProperties"]["properties"]
    if section == "models":
        return common, schema["model_kinds"]
    return common, {kind: module.SCHEMA for kind, module in kinds(section).items()}


def complete(schema: Schema, config: Mapping[str, Any], published: Collection[str]) -> Schema:
    """The schema of a config, with the keys of an entry by its kind and the names that a change may mention.

    The entry of a model is checked with all layers merged (`vaeglow.config.check.check_models`), by `$defs/model`.

    Args:
        schema: the content of the schema file; its head lists what is added here.
        config: for the names in its sections.
        published: the tables that resources/published.csv has.
    """
    whole = closed(schema)
    defs, sections = whole["$defs"], whole["properties"]
    defs["training"], defs["published_name"]["enum"] = sections["training"], [*published, None]
    for section, change in {**defs["changes"]["properties"], "models": defs["model_changes"]}.items():
        if section in NAMED and isinstance(config.get(section), Mapping):
            change["propertyNames"] = {"enum": list(config[section])}
    for section in DECLARED:
        common, own = declared(schema, section)
        entry = {"type": "object", "required": ["kind"], "properties": {"kind": {"enum": list(own)}}}
        entry["allOf"] = [
            {
                "if": {"required": ["kind"], "properties": {"kind": {"const": kind}}},
                "then": closed({"type": "object", "properties": {"kind": {}, **common, **keys}}),
            }
            for kind, keys in own.items()
        ]
        sections[section]["additionalProperties"] = entry
    defs["model"] = sections["models"]["additionalProperties"]
    keys = {"like": {"type": "string"}, "base": {"type": "string"}} | {
        key: value for key, value in declared(schema, "models")[0].items() if key in STYLE
    }
    sections["models"]["additionalProperties"] = {"type": "object", "properties": keys}
    return whole


def closed(schema: Any) -> Any:
    """A copy in which every object takes the keys of its `properties` only and needs those without a `default`.

    Objects have `type: object`, except in a condition.
    """
    if isinstance(schema, list):
        return [closed(inner) for inner in schema]
    if not isinstance(schema, Mapping):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if found.get("type") == "object" and "properties" in found:
        required = [key for key, value in schema["properties"].items() if "default" not in value and value]
        found = {"additionalProperties": False, "required": required, **found}
    return found


@functools.cache
def read_schema(path: Path) -> Schema:
    """The content of the schema file, with the keys that all datasets have, and those of the probes."""
    import yaml

    from vaeglow.data import COMMON
    from vaeglow.evaluation.probes import PROBES

    schema = yaml.safe_load(path.read_text(encoding="utf-8"))
    datasets, probes = (schema["properties"][section] for section in ("datasets", "probes"))
    datasets["additionalProperties"]["properties"] = COMMON | datasets["additionalProperties"]["properties"]
    probes["properties"] = {name: {"type": "object", "properties": probe.schema} for name, probe in PROBES.items()}
    return schema


@functools.cache
def validator_class() -> Any:
    """JSON schema's rules, stricter on numbers: 16.0 is not an integer, NaN and infinity are not numbers."""
    import jsonschema

    plain = jsonschema.Draft202012Validator
    integer, number = (functools.partial(plain.TYPE_CHECKER.is_type, type=name) for name in ("integer", "number"))
    strict = {
        "integer": lambda _, value: integer(value) and isinstance(value, int),
        "number": lambda _, value: number(value) and math.isfinite(value),
    }
    return jsonschema.validators.extend(plain, type_checker=plain.TYPE_CHECKER.redefine_many(strict))


def validate(config: Mapping[str, Any], schema: Schema, place: str = "") -> None:
    """Check the config, or the part of it at `place`, against a schema; the first error becomes one line.

    Raises:
        UserError: names the key, and for an unknown key the nearest legal one.
    """
    errors = validator_class()(schema).iter_errors(config)
    if first := min(errors, key=lambda error: (len(error.absolute_path), str(error.absolute_path)), default=None):
        raise UserError(f"config: {explain(first, place)}")


def explain(error: Any, place: str = "") -> str:
    """One line for one jsonschema error in the part of the config at `place`."""
    where = ".".join([*([place] if place else []), *(str(part) for part in error.absolute_path)])
    if error.validator == "anyOf" and error.context:
        return explain(max(error.context, key=lambda inner: len(inner.absolute_path)), place)
    if error.validator == "additionalProperties":
        legal = list(error.schema.get("properties", {}))
        key = next(key for key in error.instance if key not in legal)
        named = f"{where}.{key}" if where else str(key)
        return f"unknown key '{named}'{nearest(str(key), legal)}; legal here: {', '.join(legal) or 'nothing'}"
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"'{where or 'the top level'}' lacks the key '{missing[0]}'"
    if error.validator == "not":
        return f"'{where}' cannot hold '{error.instance}': {error.schema['description']}"
    if error.validator == "enum":
        legal = [str(value) for value in error.validator_value]
        return f"'{where}': {error.instance!r} is not one of {several(legal)}{nearest(str(error.instance), legal)}"
    if error.validator == "uniqueItems":
        twice = next(one for index, one in enumerate(error.instance) if one in error.instance[:index])
        said = ", ".join(f"{key}: {value}" for key, value in twice.items()) if isinstance(twice, dict) else twice
        return f"'{where}': {said} is listed twice"
    if error.validator == "type":
        hint = ""
        if isinstance(error.instance, str) and error.validator_value in ("number", "integer"):
            hint = " (write 0.0001 or 1.0e-4 for a number; numbers nested in --config arrive as text: use --configfile)"
        found = f"{error.instance!r} ({type(error.instance).__name__})"
        return f"'{where}' is {found}, not of type {error.validator_value}{hint}"
    return f"'{where}': {error.message}"
