"""Tables of config's `tables`, a module for each kind, as CSV; some columns, and notes, as Markdown, HTML and LaTeX.

No torch; pandas is imported when a table is made.

A kind's module has

READS    -> what it reads of each row (keys of `vaeglow.paths.RESULTS`)
SCHEMA   -> its entries' own keys in config, a JSON schema each
COLUMNS  -> its columns, or `columns_of(spec, rows)`; the first are those of its plain CSV (`traced.SHORT`)
SHOWN    -> the names of the columns that a reader sees, or `shown(table, spec)`
and optionally
rows(sources)             -> the lines of each row, where a row is not of one model's runs
OF_BASES                  -> what it reads of a row's base, of the base's base, ...
needs(entry)              -> what else it reads, a list of {"what", "preset", "dataset", "model"}

Beside it the Jinja template `{kind}.md.j2` says how the numbers were measured and what must not be compared. It has
`spec`; `kind`, the module; `show`, the names of the columns that a reader sees; `kept`, the number of samples for all
but FID; `timed` (`timing_of`); `clocks`, in words; the rows `published` and `measured`; and under the name of each
column its values in measured rows.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from vaeglow.config import nearest
from vaeglow.config.registry import kinds_of
from vaeglow.data.arrays import MOST_FEATURES
from vaeglow.errors import UserError
from vaeglow.evaluation.timing import CLOCKS, clock_of
from vaeglow.files import read_csv
from vaeglow.reporting import traced
from vaeglow.reporting.columns import RANGE, SEEDS
from vaeglow.reporting.frame import Folder, Lines, Sources, Spec, drawn_at, results_of
from vaeglow.reporting.templates import render
from vaeglow.reporting.traced import Texts
from vaeglow.results import machines

NUMBER = re.compile(r"-|([≤>] )?-?[\d.]+( (±|to|of) -?[\d.]+| \(([\d.]+ to|±) [\d.]+\))*")  # what is right-aligned


def build_table(spec: Spec, published: Folder, results_root: Folder) -> Lines:
    """The table's rows, every cell as printed text.

    Args:
        spec: see `vaeglow.config.plan.spec`.
        published: path of resources/published.csv.
        results_root: the folder that holds the presets' folders.

    Returns:
        The columns of its kind and those it is traced by; published rows, then the spec's rows in its order.

    Raises:
        UserError: files that are missing, damaged or do not belong in one table (see `Sources.frame`).
    """
    import pandas as pd

    kind = kinds_of("tables")[spec["kind"]]
    sources = Sources(spec, results_root)
    rows = list(kind.rows(sources)) if hasattr(kind, "rows") else sources.by_row(*kind.READS)
    columns = kind.columns_of(spec, rows) if hasattr(kind, "columns_of") else kind.COLUMNS
    timed = timing_of(rows)
    texts = [row | {"source": "published"} for row in read_csv(published) if row["table"] == spec["published"]]
    for lines in rows:
        cells = {}
        trained = lines[lines["seed"].isin(timed["seeds"])]
        for column in columns:
            cells[column.name] = column.cell(trained if column.name.startswith("train_") else lines)
        texts.append(cells | traced.trace_cells(results_of(lines)))
    names = [*(column.name for column in columns), *traced.COLUMNS]
    table = traced.sealed(pd.DataFrame(texts, columns=names, dtype=object).fillna(""))
    table.attrs["columns"] = {column.name: column for column in columns}  # for `forms_of`
    table.attrs["timed"] = timed
    return table


def timing_of(rows: Sequence[Lines]) -> dict[str, Any]:
    """The `seeds` whose seconds of training compare, their `machine`, and the `column` with the seconds to show.

    The machine is that of most seeds, and trained all rows of each. On a CPU other jobs slow down the clock on the
    wall: CPU seconds are shown.
    """
    column = "train_seconds"
    used: dict[int, set[str]] = {}
    for lines in rows:
        for seed, run in lines.reindex(columns=["seed", "training"]).dropna().itertuples(index=False):
            used.setdefault(seed, set()).update(machines(run))
            column = f"train_{clock_of(run.value('device_kind'))}"
    alone = {seed: names.pop() for seed, names in used.items() if len(names) == 1}
    machine = max(alone.values(), key=list(alone.values()).count, default="")  # the first of equally many
    seeds = [seed for seed, name in alone.items() if name == machine]
    return {"seeds": seeds, "machine": machine, "column": column}


def forms_of(table: Lines, spec: Spec) -> tuple[str, str]:
    r"""What `build_table` returned as Markdown and as LaTeX, a float that needs `\usepackage{booktabs}`.

    Raises:
        UserError: the spec shows a column that does not exist.
    """
    show = shown_columns(table, spec)
    shown = readable(table, show)
    notes = notes_of(table, spec, show)
    # Everything is text already: `disable_numparse` keeps 46.90 from becoming 46.9.
    body = shown.to_markdown(index=False, disable_numparse=True)
    listed = "\n".join(f"- {note}" for note in notes)
    latex = render(
        "table.tex",
        spec=spec,
        notes=notes,
        title=re.sub(r"^Table \d+: ", "", spec["title"]),  # LaTeX numbers tables itself
        sides="".join("r" if all(map(NUMBER.fullmatch, shown[name])) else "l" for name in shown),
        lines=[list(shown), *shown.to_numpy().tolist()],
    )
    return f"# {spec['title']}\n\n{body}\n\n{listed}\n", latex


def shown_columns(table: Lines, spec: Spec) -> list[str]:
    """The names of the columns that a reader sees."""
    kind = kinds_of("tables")[spec["kind"]]
    show = kind.shown(table, spec) if hasattr(kind, "shown") else list(spec.get("show") or kind.SHOWN.split())
    for name in ("dataset", "source"):
        if table[name].nunique() > 1 and name not in show:
            show.append(name)
    seconds = table.attrs["timed"]["column"]
    return [seconds if name == "train_seconds" else name for name in show]


def notes_of(table: Lines, spec: Spec, show: Sequence[str]) -> list[str]:
    """What the templates say below a table, an entry each."""
    published = table[table["source"] == "published"].to_dict("records")
    measured = table[table["source"] == "measured"]
    words: dict[str, Any] = {}
    for name in table:
        between = "; " if name in ("device", "commit") else " or "
        words[name] = traced.distinct(measured[name], between)
    rows = measured.to_dict("records")
    words |= {
        "SEEDS": SEEDS,
        "spec": spec,
        "kind": kinds_of("tables")[spec["kind"]],
        "show": show,
        "kept": min(spec["images"], MOST_FEATURES),
        "published": published,
        "measured": rows,
        "timed": table.attrs["timed"],
        "clocks": clocks(rows),
    }
    entries = re.split(r"^- ", render("notes.md", **words), flags=re.MULTILINE)[1:]
    return [" ".join(entry.split()) for entry in entries]


def clocks(rows: Iterable[Texts]) -> str:
    """Which clocks a table's ratios of times are of."""
    used = {clock_of(row["device_kind"]) for row in rows if "device_kind" in row}
    return " and ".join(words for clock, words in CLOCKS.items() if clock in used)


def readable(table: Lines, show: Sequence[str]) -> Lines:
    """Some of a table's columns in readable form, rows of one dataset together, "-" for an empty cell.

    Spreads (`{name}_sd`), intervals (`{name}_lower`, `{name}_upper`) and ranges (`{name}_low`, `{name}_high`) are shown
    with their number, bounds are marked.

    Raises:
        UserError: one that cannot be shown.
    """
    columns = table.attrs["columns"]
    headers = {name: column.header for name, column in columns.items() if column.header}
    datasets = list(table["dataset"].unique())
    table = table.sort_values("dataset", key=lambda names: names.map(datasets.index), kind="stable", ignore_index=True)
    shown = table.copy()

    def join(name: str, template: str, *others: str) -> None:
        cells = zip(shown[name], *(table[other] for other in others), strict=True)
        shown[name] = [template.format(*texts) if all(texts) else texts[0] for texts in cells]

    for name in show:
        if name not in headers:
            raise UserError(f"show: a table of this kind has no column '{name}'{nearest(name, headers)}")
        beside = columns[name].beside
        if f"{name}_lower" in table and RANGE not in beside:
            if f"{name}_sd" in table:
                join(name, "{} ± {}", f"{name}_sd")
            join(name, "{} [{}, {}]", f"{name}_lower", f"{name}_upper")
        if f"{name}_low" in table:
            join(name, "{} ({} to {})", f"{name}_low", f"{name}_high")
        if beside:
            join(name, *beside)
        if name.startswith("bits_per_dim"):
            bounded = (table["bound"] == "<=") & (shown[name] != "")
            shown[name] = shown[name].mask(bounded, "≤ " + shown[name])
        if name == "temperature":  # not in the label as well
            labels = zip(table["model"], table["temperature"], strict=True)
            shown["model"] = [label.removesuffix(f", {drawn_at(value)}") for label, value in labels]
    return shown[list(show)].replace("", "-").rename(columns=headers)
