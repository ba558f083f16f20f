"""Keys that were added later, at the value by which a run is as if there were no such key. No torch.

`config.json` lacks such a key (`without_neutral`), so that the run's hash, and all that goes by it, is what it was
before the key existed. A model is built and trained by the config with all of them (`vaeglow.config.with_neutral`).
"""

import functools
from collections.abc import Mapping
from typing import Any

from vaeglow.config.registry import kinds_of
from vaeglow.training.keys import TRAINING

Values = Mapping[str, Any]


@functools.cache
def neutral_values(kind: str) -> dict[str, Any]:
    """The neutral values of a kind of model's own keys and of `training`, nested as they are in a resolved config."""
    own = kinds_of("models")[kind].SCHEMA if kind in kinds_of("models") else {}
    return declared_neutral({**own, "training": {"properties": TRAINING}})


def declared_neutral(keys: Values) -> dict[str, Any]:
    """The neutral values among these declarations, and among those inside them."""
    values = {}
    for key, schema in keys.items():
        inside = declared_neutral(schema.get("properties", {}))
        if "neutral" in schema:
            values[key] = schema["neutral"]
        elif inside:
            values[key] = inside
    return values


def without_neutral(values: Values, neutral: Values) -> dict[str, Any]:
    """`values` without those that equal the neutral ones, in the mappings of both, too."""
    kept = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(neutral.get(key), Mapping):
            kept[key] = without_neutral(value, neutral[key])
        elif key not in neutral or value != neutral[key]:
            kept[key] = value
    return kept
