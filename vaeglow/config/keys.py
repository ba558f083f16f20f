"""The words by which keys of the config are declared: type, range, meaning, value where it is left out. No torch.

A declaration is a JSON schema; its `description` is what config/README.md says. A key with a `default` may be left out.
A key of models or of `training` that is added when runs are there already gets `neutral`, the value by which a run is
as if there were no such key: it may be left out, and does not change what such a run is (`registry.neutral_values`).
"""

from typing import Any

Schema = dict[str, Any]


def key(meaning: str, **schema: Any) -> Schema:
    """A key of any type; `schema` may have a `default`, or a `neutral` value."""
    if "neutral" in schema:
        schema["default"] = schema["neutral"]
    return {**schema, "description": meaning}


def count(meaning: str, minimum: int = 1, **more: Any) -> Schema:
    """A whole number."""
    return key(meaning, type="integer", minimum=minimum, **more)


def positive(meaning: str, **more: Any) -> Schema:
    """A number above 0."""
    return key(meaning, type="number", exclusiveMinimum=0, **more)


def choice(meaning: str, *values: Any, **more: Any) -> Schema:
    """One of these values."""
    return key(meaning, enum=list(values), **more)


def group(**keys: Schema) -> Schema:
    """Keys below a key."""
    return {"type": "object", "properties": keys}
