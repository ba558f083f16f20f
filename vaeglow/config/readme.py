"""The tables of config/README.md, made of the schema's descriptions: `python -m vaeglow.config.readme`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vaeglow.config.schema import DECLARED, declared, read_schema
from vaeglow.files import write_text

BLOCK = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- end of keys -->)", re.DOTALL)


def written(text: str, schema: Mapping[str, Any]) -> str:
    """The README with the table of each block `<!-- keys: SECTION -->` made anew."""
    return BLOCK.sub(lambda block: f"{block[1]}{section(schema, block[2])}\n{block[3]}", text)


def section(schema: Mapping[str, Any], name: str) -> str:
    """The keys of one section of the config as Markdown; `top`: those beside the sections."""
    properties = schema["properties"]
    if name == "top":
        return table(schema, {key: properties[key] for key in ("preset", "seeds", "runtime", "presets", "overrides")})
    if name not in DECLARED:
        entry = properties[name]
        return table(schema, entry.get("properties") or entry["additionalProperties"]["properties"])
    common, kinds = declared(schema, name)
    parts = [table(schema, {"kind": {"description": ", ".join(f"`{kind}`" for kind in kinds)}, **common})]
    for kind, value in kinds.items():
        own = {key: inner for key, inner in value["properties"].items() if key not in common}
        parts.append(f"`{kind}`: {value['description'].rstrip('.')}.\n\n{table(schema, own)}")
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
        elif full.get("default", ...) in (None, [], {}):
            yield place + key, f"{full['description']} (optional)"
        elif "default" in full:
            yield place + key, f"{full['description']} (default: `{json.dumps(full['default']).strip(chr(34))}`)"
        else:
            yield place + key, full["description"]


if __name__ == "__main__":
    root = Path(__file__).parents[2]
    readme = root / "config/README.md"
    write_text(readme, written(readme.read_text("utf-8"), read_schema(root / "workflow/schemas/config.schema.yaml")))
