"""What the workflow asks of the config before and while it plans its jobs. Pure: no torch, no snakemake.

`vaeglow.config` turns names into one run's values; here whole-config questions are answered: is every name
in it defined, which rule trains a model, how many samples a preset's tables need, what one table is made of.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vaeglow import config as settings
from vaeglow.errors import UserError

RESERVED = {"datasets": ("tables", "figures"), "models": ("fid_reference",), "presets": ("tables", "figures")}
NAMED = {"datasets": "dataset", "models": "model", "protocols": "protocol", "tables": "table"}


def check(config: Mapping[str, Any], schema_path: str | Path) -> dict[str, dict[str, Any]]:
    """Check all of a config: keys, types and ranges by the schema, then every name it mentions.

    Args:
        config: config.yaml with its overlays, as Snakemake loads it.
        schema_path: the JSON schema, as YAML.

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
    whole = {}
    for preset in config["presets"]:
        whole[preset] = settings.effective(config, preset)
        try:
            settings.validate({**whole[preset], "presets": {}, "overrides": {}}, schema)
            check_tables(config, whole[preset], preset)
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


def check_tables(config: Mapping[str, Any], whole: Mapping[str, Any], preset: str) -> None:
    """Every table names a dataset, a protocol and models that exist and fit together.

    Raises:
        UserError: an unknown name, two equal rows, or a model that cannot take the dataset's images.
    """
    for name, table in whole["tables"].items():
        seen = set()
        try:
            settings.lookup(whole["datasets"], table["dataset"], "dataset")
            settings.lookup(whole["protocols"], table["protocol"], "protocol")
            for row in table["rows"]:
                settings.resolve(config, preset, table["dataset"], row["model"], whole["seeds"][0])
                key = (row["model"], float(row["temperature"]))
                if key in seen:
                    raise UserError(f"{key[0]} at temperature {key[1]} stands in it twice: take one row out")
                seen.add(key)
        except UserError as error:
            raise UserError(f"tables.{name}: {error}") from error


def kind_of(config: Mapping[str, Any], model: str) -> str:
    """A model's kind (vae | vae_glow | glow), its own or that of the model it is `like`."""
    return config["models"][settings.ancestry(config["models"], model)[0]]["kind"]


def dataset_settings(config: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """What `prepare_data` needs of a dataset: all but what belongs to a run (`train_subset`, `models`)."""
    return {key: value for key, value in config["datasets"][dataset].items() if key not in ("train_subset", "models")}


def sample_count(whole: Mapping[str, Any], dataset: str) -> int:
    """How many images a run on `dataset` draws: as many as the largest protocol of the preset's tables on it.

    A dataset that stands in no table gets the largest protocol's count.
    """
    protocols = whole["protocols"]
    wanted = [table["protocol"] for table in whole["tables"].values() if table["dataset"] == dataset]
    return max(protocols[name]["images"] for name in wanted or protocols)


def table_spec(whole: Mapping[str, Mapping[str, Any]], preset: str, table: str) -> dict[str, Any]:
    """All that the step `table` needs to find, check and name its files.

    Args:
        whole: what `check` returned.
        preset: the preset whose runs the table reports.
        table: a name in `tables`.

    Returns:
        `{"name", "title", "preset", "dataset", "protocol", "split", "images", "features", "seeds", "rows",
        "published"}`.
    """
    entry = whole[preset]["tables"][table]
    return {
        "name": table,
        "title": entry["title"],
        "preset": preset,
        "dataset": entry["dataset"],
        "protocol": entry["protocol"],
        **whole[preset]["protocols"][entry["protocol"]],
        "seeds": whole[preset]["seeds"],
        "rows": entry["rows"],
        "published": entry["published"],
    }


def table_files(whole: Mapping[str, Mapping[str, Any]], wildcards: Any, pattern: str) -> list[str]:
    """The files of all a table's rows and seeds, each once: an input of the rule `table`.

    Args:
        whole: what `check` returned.
        wildcards: Snakemake's, with `preset` and `table`.
        pattern: a path with `{preset}`, `{dataset}`, `{protocol}`, `{model}`, `{seed}`, `{temperature}`.
    """
    spec = table_spec(whole, wildcards.preset, wildcards.table)
    shared = {key: spec[key] for key in ("preset", "dataset", "protocol")}
    files = [
        pattern.format(model=row["model"], temperature=float(row["temperature"]), seed=seed, **shared)
        for row in spec["rows"]
        for seed in spec["seeds"]
    ]
    return list(dict.fromkeys(files))
