"""Write the tables of keys in config/README.md, from the schema's descriptions: `python -m tools.config_keys`."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vaeglow.config.registry import kinds_of
from vaeglow.config.schema import DECLARED, declared, read_schema

ROOT = Path(__file__).parents[1]
README, SCHEMA = ROOT / "config/README.md", ROOT / "workflow/schemas/config.schema.yaml"
BLOCK = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- end of keys -->)", re.DOTALL)


def written(text: str, schema: Mapping[str, Any]) -> str:
    """The README with the table of each block `<!-- keys: SECTION -->` rewritten."""
    return BLOCK.sub(lambda block: f"{block[1]}{section(schema, block[2])}\n{block[3]}", text)


def section(schema: Mapping[str, Any], name: str) -> str:
    """The keys of one section of the config as Markdown; `top`: those besides the sections."""
    properties = schema["properties"]
    if name == "top":
        names = ("preset", "seeds", "only", "registration", "runtime", "presets", "overrides")
        return table(schema, {key: properties[key] for key in names})
    if name not in DECLARED:
        entry = properties[name]
        return table(schema, entry.get("properties") or entry["additionalProperties"]["properties"])
    common, own = declared(schema, name)
    parts = [table(schema, {"kind": {"description": ", ".join(f"`{kind}`" for kind in own)}, **common})]
    for kind, declaring in kinds_of(name).items():
        keys = {key: value for key, value in own[kind].items() if key not in common}
        parts.append(f"`{kind}`: {declaring.__doc__.splitlines()[0].rstrip('.')}.\n\n{table(schema, keys)}")
    return "\n\n".join(parts)


def table(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    """A row for each key that has a description, dotted where it is inside another."""
    rows = [f"| `{key}` | {text} |" for key, text in described(schema, properties)]
    return "\n".join(["| key | meaning |", "|---|---|", *rows])


def described(schema: Mapping[str, Any], properties: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """Key and description, with the default of a key that may be left out."""
    for key, value in properties.items():
        full = {**schema["$defs"].get(value.get("$ref", "").removeprefix("#/$defs/"), {}), **value}
        if "description" not in full:
            yield from described(schema, full["properties"], f"{place}{key}.")
            continue
        default = json.dumps(full.get("default")).strip('"')
        said = "optional" if default in ("null", "[]", "{}") else f"default: `{default}`"
        yield place + key, full["description"] + (f" ({said})" if "default" in full else "")


if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8"), read_schema(SCHEMA)), "utf-8")
