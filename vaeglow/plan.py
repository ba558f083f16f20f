"""What the workflow asks of the config before and while it plans its jobs. Pure: no torch, no snakemake.

`vaeglow.config` turns names into one run's values; here whole-config questions are answered: is every name
in it defined, which rule trains a model, how many samples a preset's tables and figures need, what one table
or figure is made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vaeglow import config as settings
from vaeglow.errors import UserError

RESERVED = {"datasets": ("tables", "figures"), "models": ("fid_reference",), "presets": ("tables", "figures")}
ENTRIES = ("tables", "figures")  # sections whose entries have a dataset and rows
NAMED = {"datasets": "dataset", "models": "model", "protocols": "protocol", "tables": "table", "figures": "figure"}


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
            check_entries(config, whole[preset], preset)
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


def check_entries(config: Mapping[str, Any], whole: Mapping[str, Any], preset: str) -> None:
    """Every table and figure names a dataset, a protocol and models that exist and fit together.

    Raises:
        UserError: an unknown name, two equal rows, or a model that cannot take the dataset's images.
    """
    for path, entry in [(f"{section}.{name}", entry) for section in ENTRIES for name, entry in whole[section].items()]:
        seen = set()
        try:
            settings.lookup(whole["datasets"], entry["dataset"], "dataset")
            if "protocol" in entry:
                settings.lookup(whole["protocols"], entry["protocol"], "protocol")
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


def kind_of(config: Mapping[str, Any], model: str) -> str:
    """A model's kind (vae | vae_glow | glow), its own or that of the model it is `like`."""
    return config["models"][settings.ancestry(config["models"], model)[0]]["kind"]


def dataset_settings(config: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """What `prepare_data` needs of a dataset: all but what belongs to a run (`train_subset`, `models`)."""
    return {key: value for key, value in config["datasets"][dataset].items() if key not in ("train_subset", "models")}


def sample_count(whole: Mapping[str, Any], dataset: str) -> int:
    """How many images a run on `dataset` draws: enough for all the preset's tables and figures on it.

    That is the largest count of the tables' protocols, or of all protocols where it stands in no table; more
    where a row of a figure shows more.
    """
    protocols = whole["protocols"]
    wanted = [table["protocol"] for table in whole["tables"].values() if table["dataset"] == dataset]
    figures = [figure for figure in whole["figures"].values() if figure["dataset"] == dataset]
    counts = [protocols[name]["images"] for name in wanted or protocols]
    return max(counts + [figure["columns"] * figure["lines_per_row"] for figure in figures])


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
    return row_files(spec, spec["rows"], spec["seeds"], pattern)


def row_files(
    spec: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], seeds: Iterable[int], pattern: str
) -> list[str]:
    """`pattern` filled in for every row and seed, each path once."""
    shared = {key: spec[key] for key in ("preset", "dataset", "protocol") if key in spec}
    files = []
    for row in rows:
        own = {key: row[key] for key in ("model", "data") if key in row}
        if "temperature" in row:
            own["temperature"] = float(row["temperature"])
        files += [pattern.format(**shared, **own, seed=seed) for seed in seeds]
    return list(dict.fromkeys(files))


def figures_of(config: Mapping[str, Any], kind: str) -> list[str]:
    """The names of all figures of one kind: those that the rule of that name draws."""
    return [name for name, figure in config["figures"].items() if figure["kind"] == kind]


def figure_spec(whole: Mapping[str, Mapping[str, Any]], preset: str, figure: str) -> dict[str, Any]:
    """All that the step which draws a figure needs to find, check and name its files.

    Args:
        whole: what `check` returned.
        preset: the preset whose runs the figure shows.
        figure: a name in `figures`.

    Returns:
        `{"name", "preset", "seed"}` (the preset's first seed) and the figure's own entry.
    """
    entry = whole[preset]["figures"][figure]
    return {"name": figure, "preset": preset, "seed": whole[preset]["seeds"][0], **entry}


def figure_files(
    whole: Mapping[str, Mapping[str, Any]], wildcards: Any, pattern: str, of: str | None = None
) -> list[str]:
    """Files that a figure shows, each once: an input of the rule that draws it.

    Args:
        whole: what `check` returned.
        wildcards: Snakemake's, with `preset` and `figure`.
        pattern: a path with `{preset}`, `{dataset}`, `{seed}`, and a row's `{model}` and `{temperature}`, or `{data}`.
        of: the rows meant: those with this key (`model` or `data`); None for a file of the whole figure.
    """
    spec = figure_spec(whole, wildcards.preset, wildcards.figure)
    rows = [{}] if of is None else [row for row in spec["rows"] if of in row]
    return row_files(spec, rows, [spec["seed"]], pattern)
