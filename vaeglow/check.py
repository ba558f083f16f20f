"""Everything that can be wrong with a config, found before the first job. Pure: no torch, no snakemake.

Keys, types and ranges by the schema, every name it mentions, every model as a preset and a dataset make it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vaeglow import config as settings
from vaeglow import kinds
from vaeglow.check_entries import check_entries
from vaeglow.data.kinds import add_to
from vaeglow.errors import UserError

RESERVED = {
    "datasets": ("tables", "figures"),
    "models": ("fid_reference",),
    "presets": ("tables", "figures", "data"),
    "tables": ("claims",),
}
NAMED = {
    "datasets": "dataset",
    "models": "model",
    "protocols": "protocol",
    "roles": "role",
    "tables": "table",
    "figures": "figure",
    "claims": "claim",
}


def check_config(
    config: Mapping[str, Any], schema_path: str | Path, published_path: str | Path
) -> dict[str, dict[str, Any]]:
    """Check all of a config: keys, types and ranges by the schema, then every name it mentions.

    Args:
        config: config.yaml with its overlays, as Snakemake loads it.
        schema_path: the JSON schema, as YAML.
        published_path: resources/published.csv, for the names in its first column.

    Returns:
        `{preset: settings.effective(config, preset)}`; in it a claim on a model that cannot take its dataset's images
        has the reason under `unfit`.

    Raises:
        UserError: the first thing wrong, in one line.
    """
    schema = load_schema(schema_path)
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


def load_schema(path: str | Path) -> dict[str, Any]:
    """The JSON schema of a config: what the YAML file says, and the keys of every kind of dataset."""
    import yaml

    schema = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    add_to(schema)
    return schema


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
        UserError: an unknown or missing key, a training its kind would ignore, or a base it cannot stand on.
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
            kinds.check_training(name, described["kind"], described["training"])
            if "base" in described:
                base = settings.describe_model(config, preset, dataset, described["base"])
                kinds.check_base(name, described, base)


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
