"""The schema is whole, and config/README.md names every key of it."""

import re
from collections.abc import Iterator

import pytest
from jsonschema import Draft202012Validator
from run_tools import ROOT, shipped_config

from docs import config_keys
from vaeglow.config.schema import DECLARED, complete, declared, kinds, read_schema

SCHEMA = read_schema(ROOT / "workflow/schemas/config.schema.yaml")
README = (ROOT / "config/README.md").read_text(encoding="utf-8")


def inside(value: object) -> Iterator[dict]:
    """Every mapping in a schema."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from inside(inner)


def test_it_is_a_schema_and_every_object_of_it_is_closed():
    whole = complete(SCHEMA, shipped_config(), ["table1"])
    Draft202012Validator.check_schema(whole)
    for found in inside(whole):
        open_ = "enum" in found.get("properties", {}).get("kind", {}) or "like" in found.get("properties", {})
        if found.get("type") == "object" and not open_:  # judged by their kind
            assert {"additionalProperties", "propertyNames"} & set(found) or "properties" not in found, found
        if "$ref" in found:
            assert found["$ref"].removeprefix("#/$defs/") in whole["$defs"], found["$ref"]


@pytest.mark.parametrize("section", DECLARED)
def test_every_key_of_every_kind_says_what_it_means(section):
    common, kinds_keys = declared(SCHEMA, section)
    assert kinds_keys.keys() == kinds(section).keys()
    for kind, keys in kinds_keys.items():
        assert kinds(section)[kind].__doc__, kind
        own = {key: inner for key, inner in keys.items() if key not in common}
        assert {key.split(".")[0] for key, text in config_keys.described(SCHEMA, own) if text} == set(own)


def test_the_readme_is_what_the_schema_says_of_every_section():
    assert config_keys.written(README, SCHEMA) == README, "run python -m docs.config_keys"
    blocks = set(re.findall(r"<!-- keys: (\w+) -->", README))
    top = {"preset", "seeds", "runtime", "presets", "overrides"}
    assert blocks == set(SCHEMA["properties"]) - top - {"roles"} | {"top"}
