"""Keys, types and ranges of the config: the schema file completed with the kinds' own keys, and one-line errors."""

from collections.abc import Collection, Mapping
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

from vaeglow.config import STYLE, nearest, several
from vaeglow.config.keys import Schema, group
from vaeglow.config.registry import HOMES, kinds_of
from vaeglow.errors import UserError
from vaeglow.files import Config

DECLARED = [section for section in HOMES if section != "probes"]  # sections whose entries have a kind
# What to do where a number is text.
NUMBER_AS_TEXT = " (write 0.0001 or 1.0e-4 for a number; numbers nested in --config arrive as text: use --configfile)"
NAMED = ("datasets", "models", "protocols", "roles", "tables", "figures", "claims")


def declared(schema: Schema, section: str) -> tuple[Schema, dict[str, Schema]]:
    """The keys that all entries of a section in `DECLARED` have, and {kind: {key: schema}} of each kind's own."""
    common = schema["properties"][section]["additionalProperties"]["properties"]
    return common, {kind: declaration.SCHEMA for kind, declaration in kinds_of(section).items()}


def complete(schema: Schema, config: Config, published: Collection[str]) -> Schema:
    """The schema of a config, with the keys of an entry by its kind and the names that a change may mention.

    The entry of a model is checked with all layers merged (`vaeglow.config.check.check_models`), by `$defs/model`.

    Args:
        schema: the content of the schema file; its head lists what is added here.
        config: for the names in its sections.
        published: the tables that resources/published.csv has.
    """
    whole = closed(schema)
    defs = whole["$defs"]
    sections = whole["properties"]
    defs["training"] = sections["training"]
    defs["published_name"]["enum"] = [*published, None]
    for section, change in {**defs["changes"]["properties"], "models": defs["model_changes"]}.items():
        if section in NAMED and isinstance(config.get(section), Mapping):
            change["propertyNames"] = {"enum": list(config[section])}
    for section in DECLARED:
        common, own = declared(schema, section)
        entry = {"type": "object", "required": ["kind"], "properties": {"kind": {"enum": list(own)}}, "allOf": []}
        for kind, keys in own.items():
            of_kind = {"required": ["kind"], "properties": {"kind": {"const": kind}}}
            entry["allOf"].append({"if": of_kind, "then": closed(group(**{"kind": {}, **common, **keys}))})
        sections[section]["additionalProperties"] = entry
    defs["model"] = sections["models"]["additionalProperties"]
    style = {key: declared(schema, "models")[0][key] for key in STYLE}
    sections["models"]["additionalProperties"] = group(like={"type": "string"}, base={"type": "string"}, **style)
    return whole


def closed(schema: Any) -> Any:
    """A copy in which every object takes the keys of its `properties` only and needs those without a `default`.

    Objects have `type: object`, except in a condition.
    """
    if isinstance(schema, list):
        return [closed(inner) for inner in schema]
    if not isinstance(schema, Mapping):
        return schema
    copy = {key: closed(value) for key, value in schema.items()}
    if copy.get("type") != "object" or "properties" not in copy:
        return copy
    required = [key for key, value in schema["properties"].items() if value and "default" not in value]
    return {"additionalProperties": False, "required": required, **copy}


@cache
def read_schema(path: Path) -> Schema:
    """The content of the schema file, with the keys of all datasets and probes and those of `training`."""
    import yaml

    from vaeglow.data import COMMON
    from vaeglow.training.keys import TRAINING

    schema = yaml.safe_load(path.read_text(encoding="utf-8"))
    sections = schema["properties"]
    entry = sections["datasets"]["additionalProperties"]
    entry["properties"] = COMMON | entry["properties"]
    sections["probes"] = group(**{kind: group(**probe.SCHEMA) for kind, probe in kinds_of("probes").items()})
    sections["training"] = group(**TRAINING)
    return schema


@cache
def validator_class() -> Any:
    """JSON schema's rules, stricter on numbers: 16.0 is not an integer, NaN and infinity are not numbers."""
    from jsonschema import Draft202012Validator, validators

    plain = Draft202012Validator
    strict = {
        "integer": lambda _, value: type(value) is int,  # not a bool
        "number": lambda _, value: (type(value) is int or isinstance(value, float)) and isfinite(value),
    }
    return validators.extend(plain, type_checker=plain.TYPE_CHECKER.redefine_many(strict))


def validate(config: Config, schema: Schema, place: str = "") -> None:
    """Check the config, or the part of it at `place`, against a schema; the first error becomes one line.

    Raises:
        UserError: names the key, and for an unknown key the nearest legal one.
    """
    errors = validator_class()(schema).iter_errors(config)
    first = min(errors, key=lambda error: (len(error.absolute_path), str(error.absolute_path)), default=None)
    if first:
        raise UserError(f"config: {explain(first, place)}")


def explain(error: Any, place: str = "") -> str:
    """One line for one jsonschema error in the part of the config at `place`."""
    value = error.instance
    where = ".".join(str(part) for part in [place, *error.absolute_path] if part != "")
    expected = error.validator_value
    match error.validator:
        case "anyOf" if error.context:
            return explain(max(error.context, key=lambda inner: len(inner.absolute_path)), place)
        case "additionalProperties":
            legal = list(error.schema.get("properties", {}))
            key = next(key for key in value if key not in legal)
            named = f"{where}.{key}" if where else str(key)
            return f"unknown key '{named}'{nearest(str(key), legal)}; legal here: {', '.join(legal) or 'nothing'}"
        case "required":
            missing = next(key for key in expected if key not in value)
            return f"'{where or 'the top level'}' lacks the key '{missing}'"
        case "not":
            return f"'{where}' cannot hold '{value}': {error.schema['description']}"
        case "enum":
            legal = list(map(str, expected))
            return f"'{where}': {value!r} is not one of {several(legal)}{nearest(str(value), legal)}"
        case "uniqueItems":
            twice = next(item for index, item in enumerate(value) if item in value[:index])
            if isinstance(twice, dict):
                twice = ", ".join(f"{key}: {inner}" for key, inner in twice.items())
            return f"'{where}': {twice} is listed twice"
        case "type":
            hint = NUMBER_AS_TEXT if isinstance(value, str) and ("number" in expected or "integer" in expected) else ""
            return f"'{where}' is {value!r} ({type(value).__name__}), not of type {expected}{hint}"
    return f"'{where}': {error.message}"
