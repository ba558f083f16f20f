"""What the workflow asks of a checked config while it plans its jobs. Pure: no torch, no snakemake.

`vaeglow.config` turns names into one run's values; here it is answered how many samples a preset's tables and
figures need, and what one table or figure is made of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from vaeglow.check import ENTRIES


def one_of(names: Iterable[Any]) -> str:
    """A closed alternation for Snakemake's `wildcard_constraints`; no names: matches nothing."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


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
        whole: what `vaeglow.check.check_config` returned.
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
        whole: what `vaeglow.check.check_config` returned.
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


def temperatures(whole: Mapping[str, Mapping[str, Any]]) -> list[float]:
    """All temperatures that any preset's tables or figures ask for, in order, each once."""
    entries = [entry for preset in whole.values() for section in ENTRIES for entry in preset[section].values()]
    return sorted({float(row["temperature"]) for entry in entries for row in entry["rows"] if "temperature" in row})


def figures_of(config: Mapping[str, Any], kind: str) -> list[str]:
    """The names of all figures of one kind: those that the rule of that name draws."""
    return [name for name, figure in config["figures"].items() if figure["kind"] == kind]


def figure_spec(whole: Mapping[str, Mapping[str, Any]], preset: str, figure: str) -> dict[str, Any]:
    """All that the step which draws a figure needs to find, check and name its files.

    Args:
        whole: what `vaeglow.check.check_config` returned.
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
        whole: what `vaeglow.check.check_config` returned.
        wildcards: Snakemake's, with `preset` and `figure`.
        pattern: a path with `{preset}`, `{dataset}`, `{seed}`, and a row's `{model}` and `{temperature}`, or `{data}`.
        of: the rows meant: those with this key (`model` or `data`); None for a file of the whole figure.
    """
    spec = figure_spec(whole, wildcards.preset, wildcards.figure)
    rows = [{}] if of is None else [row for row in spec["rows"] if of in row]
    return row_files(spec, rows, [spec["seed"]], pattern)
