"""Everything that can be wrong with a config, found before the first job. Pure: no torch, no snakemake.

Keys, types and ranges by the schema, every name it mentions, every model as a preset and a dataset make it.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from vaeglow import config as settings
from vaeglow.errors import UserError

RESERVED = {"datasets": ("tables", "figures"), "models": ("fid_reference",), "presets": ("tables", "figures")}
ENTRIES = ("tables", "figures")  # sections whose entries have a dataset and rows
NAMED = {"datasets": "dataset", "models": "model", "protocols": "protocol", "tables": "table", "figures": "figure"}


def check_config(
    config: Mapping[str, Any], schema_path: str | Path, published_path: str | Path
) -> dict[str, dict[str, Any]]:
    """Check all of a config: keys, types and ranges by the schema, then every name it mentions.

    Args:
        config: config.yaml with its overlays, as Snakemake loads it.
        schema_path: the JSON schema, as YAML.
        published_path: resources/published.csv, for the names in its first column.

    Returns:
        `{preset: settings.effective(config, preset)}`.

    Raises:
        UserError: the first thing wrong, in one line.
    """
    import yaml

    schema = yaml.safe_load(Path(schema_path).read_text(encoding="utf-8"))
    settings.validate(config, schema)
    settings.lookup(config["presets"], config["preset"], "preset")
    for section, reserved in RESERVED.items():
        for name in set(reserved) & set(config[section]):
            raise UserError(f"config: {section}.{name}: the name is taken by a results folder; choose another")
    check_differences(config)
    for name, model in config["models"].items():
        settings.ancestry(config["models"], name)
        if "base" in model:
            settings.lookup(config["models"], model["base"], "model")
    published = published_tables(published_path)
    whole = {}
    for preset in config["presets"]:
        whole[preset] = settings.effective(config, preset)
        try:
            settings.validate({**whole[preset], "presets": {}, "overrides": {}}, schema)
            check_models(config, schema, preset)
            check_entries(config, whole[preset], preset, published)
        except UserError as error:
            raise UserError(f"preset {preset}: {error}") from error
    return whole


def check_differences(config: Mapping[str, Any]) -> None:
    """Presets, overrides and a dataset's `models` may only change what the top level defines.

    Raises:
        UserError: they name something else; the message names the nearest.
    """
    for where, difference in differences(config):
        for section, what in NAMED.items():
            for name in difference.get(section, {}):
                try:
                    settings.lookup(config[section], name, what)
                except UserError as error:
                    raise UserError(f"config: {where}.{section}: {error}") from error


def differences(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All (path, mapping) in the config that change named entries defined elsewhere."""
    tops: list[tuple[str, Mapping[str, Any]]] = [("overrides", config["overrides"])]
    tops += [(f"presets.{name}", change) for name, change in config["presets"].items()]
    yield from tops
    for where, change in [*tops, ("", config)]:
        for name, dataset in change.get("datasets", {}).items():
            yield f"{where}.datasets.{name}".lstrip("."), {"models": dataset.get("models", {})}


def check_models(config: Mapping[str, Any], schema: Mapping[str, Any], preset: str) -> None:
    """Every model, its layers merged, has the keys of its kind: all that it needs, none that it would ignore.

    A model's own entry can be judged only where it stands alone; with `like` and changes of the dataset, the preset
    or the user, only the sum can.

    Raises:
        UserError: an unknown or missing key, or a base that is no VAE.
    """
    model_schema = {"$ref": "#/$defs/model", "$defs": schema["$defs"]}
    for dataset in config["datasets"]:
        for name in config["models"]:
            described = settings.describe_model(config, preset, dataset, name)
            try:
                settings.validate(described, model_schema, f"models.{name}")
            except UserError as error:
                kind = described["kind"]
                raise UserError(f"{error} (a {kind}, all layers merged, on dataset {dataset})") from error
            base = described.get("base")
            if base is not None and (kind := settings.kind_of(config, base)) != "vae":
                raise UserError(f"models.{name}: base '{base}' is a {kind}, not a vae")


def published_tables(path: str | Path) -> list[str]:
    """The names in the first column of resources/published.csv, each once.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} cannot be read ({error}): git checkout brings it back") from None
    return list(dict.fromkeys(row[0] for row in rows[1:] if row))


def check_entries(config: Mapping[str, Any], whole: Mapping[str, Any], preset: str, published: Collection[str]) -> None:
    """Every table and figure names a dataset, a protocol and models that exist and fit together.

    Args:
        config: all of it.
        whole: `settings.effective(config, preset)`.
        preset: whose tables and figures.
        published: the tables that resources/published.csv has.

    Raises:
        UserError: an unknown name, two equal rows, or a model that cannot take the dataset's images.
    """
    for path, entry in [(f"{section}.{name}", entry) for section in ENTRIES for name, entry in whole[section].items()]:
        seen = set()
        try:
            settings.lookup(whole["datasets"], entry["dataset"], "dataset")
            if "protocol" in entry:
                settings.lookup(whole["protocols"], entry["protocol"], "protocol")
            if (name := entry.get("published")) is not None and name not in published:
                near = settings.nearest(name, published)
                raise UserError(
                    f"published '{name}'{near} is not in resources/published.csv, which has {', '.join(published)}"
                )
            for row in entry["rows"]:
                if "model" in row:
                    settings.resolve(config, preset, entry["dataset"], row["model"], whole["seeds"][0])
                if (content := row_content(row)) in seen:
                    raise UserError(f"{content} stands in it twice: take one row out")
                seen.add(content)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error


def row_content(row: Mapping[str, Any]) -> str:
    """What a row of a table or figure shows, in words; two rows that say the same are the same."""
    if "model" in row:
        return f"{row['model']} at temperature {float(row['temperature'])}"
    return f"the data's {row['data']} split"
