"""config/README.md names every legal key, and no other, in a table row of the section it belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import yaml
from run_tools import ROOT

from vaeglow.check import load_schema
from vaeglow.data.arrays import SPLITS

SCHEMA = load_schema(ROOT / "workflow/schemas/config.schema.yaml")
README = (ROOT / "config/README.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `?([\w ]+).*?\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE))


def rows(text: str) -> dict[str, tuple[str, ...]]:
    """{key: the other cells} of all table rows in a piece of the README; a row may name several keys."""
    found: dict[str, tuple[str, ...]] = {}
    for line in re.findall(r"^\| *(`.*)\|$", text, re.MULTILINE):
        first, *rest = (cell.strip() for cell in line.split(" | "))
        for key in re.findall(r"`([^`]+)`", first):
            assert key not in found, f"{key} has two rows"
            found[key] = tuple(rest)
    return found


def resolved(schema: dict) -> dict:
    """A schema with its `$ref` filled in."""
    if "$ref" not in schema:
        return schema
    return resolved(SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")]) | {
        key: value for key, value in schema.items() if key != "$ref"
    }


def keys(schema: dict, stop: tuple[str, ...] = ()) -> Iterator[str]:
    """The keys a schema allows, dotted down to the leaves; those in `stop` are taken whole."""
    for name, inner in resolved(schema).get("properties", {}).items():
        below = [] if name in stop else list(keys(inner, stop))
        yield from (f"{name}.{key}" for key in below) if below else (name,)


def definition(name: str, stop: tuple[str, ...] = ()) -> set[str]:
    return set(keys({"$ref": f"#/$defs/{name}"}, stop))


def kinds_of(name: str) -> list[str]:
    """The kinds that a definition with branches has."""
    return SCHEMA["$defs"][name]["properties"]["kind"]["enum"]


def branch(name: str, kind: str) -> set[str]:
    """The keys that such a definition allows for one kind."""
    branches = SCHEMA["$defs"][name].get("allOf") or SCHEMA["$defs"][name]["else"]["allOf"]
    for one in branches:
        condition = one["if"]["properties"]["kind"]
        if kind in condition.get("enum", [condition.get("const")]):
            return set(keys(one["then"], ("rows",)))
    raise AssertionError(f"the schema has no branch for {kind}")


def test_the_whole():
    own_section = set(SCHEMA["properties"]) & set(SECTIONS)
    assert own_section == {
        *("datasets", "training", "models", "evaluation", "probes", "timing", "protocols", "roles"),
        *("tables", "figures", "claims"),
    }
    elsewhere = {name: value for name, value in SCHEMA["properties"].items() if name not in own_section}
    legal = set(keys({"properties": elsewhere}, ("overrides", "presets")))
    table = rows(SECTIONS["The whole"])
    assert set(table) == legal
    for key in definition("difference", tuple(own_section)):
        assert f"`{key}`" in table["presets"][0]


@pytest.mark.parametrize("kind", kinds_of("dataset"))
def test_datasets(kind):
    common, *parts = re.split(r"^(?=`\w+`: )", SECTIONS["datasets"], flags=re.MULTILINE)
    own = {part.split("`")[1]: rows(part) for part in parts}
    assert set(own) == set(SCHEMA["$defs"]["dataset"]["properties"]["kind"]["enum"])
    assert set(rows(common)) | set(own[kind]) == definition(f"dataset_{kind}", ("models", "expected_sha256"))
    assert not set(rows(common)) & set(own[kind])
    for split in SPLITS:
        assert f"{split}: " in rows(common)["expected_sha256"][0]


@pytest.mark.parametrize("kind", kinds_of("model"))
def test_models(kind):
    table = rows(SECTIONS["models"])
    of_kind = {key for key, (kinds, _) in table.items() if kinds == "all" or f"`{kind}`" in kinds}
    assert of_kind == definition(f"model_{kind}", ("training",)) | {"like"}
    named = set(re.findall(r"`(\w+)`", " ".join(kinds for kinds, _ in table.values())))
    assert named <= set(kinds_of("model"))


@pytest.mark.parametrize(
    ("section", "name", "stop"),
    [
        ("training", "training", ()),
        ("evaluation", "evaluation", ("wheel", "url")),
        ("probes", "probes", ()),
        ("timing", "timing", ()),
        ("protocols", "protocol", ()),
    ],
)
def test_other_sections(section, name, stop):
    table = rows(SECTIONS[section])
    assert set(table) == definition(name, stop)
    for source in stop:  # the keys inside are named in its row
        inner = SCHEMA["$defs"]["evaluation"]["properties"]["inception"]["properties"][source]["properties"]
        assert set(inner) <= set(re.findall(r"`(\w+)`", table[f"inception.{source}"][0]))


def test_roles():
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    assert set(rows(SECTIONS["roles"])) == set(config["roles"])


@pytest.mark.parametrize(
    ("section", "name", "kind"),
    [(f"{name}s", name, kind) for name in ("table", "figure") for kind in kinds_of(name)],
)
def test_tables_and_figures(section, name, kind):
    table = rows(SECTIONS[section])
    of_kind = {key for key, (kinds, _) in table.items() if kinds == "all" or f"`{kind}`" in kinds}
    assert of_kind == branch(name, kind)
    assert f"`{kind}`" in table["kind"][1]
    named = set(re.findall(r"`(\w+)`", " ".join(kinds for kinds, _ in table.values())))
    assert named <= set(kinds_of(name))


def test_rows_of_tables_and_figures():
    text = "".join(rows(SECTIONS[section])["rows"][1] for section in ("tables", "figures"))
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", text))))
    assert definition("drawn_row") | definition("data_row") <= words


def test_every_value_of_a_choice_is_named_in_its_row():
    table = rows(SECTIONS["models"])
    choices = {
        "prior.kind": SCHEMA["$defs"]["prior"]["properties"]["kind"],
        "network.coupling": SCHEMA["$defs"]["coupling"],
        "network.decoder_noise": SCHEMA["$defs"]["decoder_noise"],
    }
    for key, choice in choices.items():
        assert set(choice["enum"]) <= set(re.findall(r"`(\w+)`", table[key][1]))
