"""Tables of config's `tables`, a module for each kind, as CSV; some columns, and notes, as Markdown, HTML and LaTeX.

No torch; pandas is imported when a table is made.

A kind's module has

READS    -> what it reads of each row (keys of `vaeglow.paths.RESULTS`)
SCHEMA   -> its entries' own keys in config, a JSON schema each
COLUMNS  -> its columns, or `columns_of(rows)`; the first are those of its plain CSV (`traced.SHORT`)
SHOWN    -> the names of the columns that a reader sees; `term_*` are all with a header that begin so
and optionally
rows(sources)             -> the lines of each row, where a row is not of one model's runs
OF_BASES                  -> what it reads of a row's base, of the base's base, ...
needs(entry)              -> what else it reads, a list of {"what", "preset", "dataset", "model"}
IMPORTANCE                -> True: importance-weighted bounds of its runs are evaluated

Beside it the Jinja template `{kind}.md.j2` says how the numbers were measured and what must not be compared. It has
`spec`; `kind`, the module; `show`, the names of the columns that a reader sees; `kept`, the number of samples for all
but FID; `timed` (`timing_of`); `clocks`, in words; the rows `published` and `measured`; and under the name of each
column its values in measured rows.
"""

import fnmatch
import re
from collections.abc import Sequence

from vaeglow.config import nearest
from vaeglow.config.registry import kinds_of
from vaeglow.data.arrays import MOST_FEATURES
from vaeglow.errors import UserError
from vaeglow.evaluation.timing import CLOCKS, clock_of
from vaeglow.files import AnyPath, read_csv
from vaeglow.reporting.columns import RANGE, SEEDS
from vaeglow.reporting.frame import Lines, Row, Sources, Spec, Words, drawn_at, files
from vaeglow.reporting.templates import render
from vaeglow.reporting.traced import COLUMNS, distinct, sealed, trace_cells
from vaeglow.results import Result, machines

NUMBER = re.compile(  # what is right-aligned
    r"-|([≤>] )?-?[\d.]+( (±|to|of) -?[\d.]+| \[-?[\d.]+, -?[\d.]+\]| \((-?[\d.]+ to|±) -?[\d.]+\))*"
)

# How a number is shown with those of its summaries that a table has.
SPREAD = {"{} ± {}": ["sd"], "{} [{}, {}]": ["lower", "upper"], "{} ({} to {})": ["low", "high"]}


def build_table(spec: Spec, published: AnyPath, results_root: AnyPath) -> Lines:
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
    kind = kinds_of("tables")[spec["kind"]]
    sources = Sources(spec, results_root)
    rows = list(kind.rows(sources)) if hasattr(kind, "rows") else sources.by_row(*kind.READS)
    columns = kind.columns_of(rows) if hasattr(kind, "columns_of") else kind.COLUMNS
    timed = timing_of(rows)
    columns = {column.name: column for column in columns}
    texts = [row | {"source": "published"} for row in read_csv(published) if row["table"] == spec["published"]]
    for lines in rows:
        trained = lines[lines["seed"].isin(timed["seeds"])]
        cells = trace_cells([value for value in lines.to_numpy().flat if isinstance(value, Result)])
        for name, column in columns.items():
            cells[name] = column.cell(trained if name.startswith("train_") else lines)
        texts.append(cells)
    table = sealed(texts, [*columns, *COLUMNS])
    table.attrs = {
        "columns": columns,
        "headers": {name: column.header for name, column in columns.items() if column.header},
        "timed": timed,
    }  # for `forms_of`
    return table


def timing_of(rows: Sequence[Lines]) -> Row:
    """The `seeds` whose seconds of training compare, their `machine`, and the `column` with the seconds to show.

    The machine is that of most seeds, and trained all rows of each. On a CPU other jobs slow down the clock on the
    wall: CPU seconds are shown.
    """
    column = "train_seconds"
    used = {}
    for lines in rows:
        for run in files(lines, "training"):
            used.setdefault(run.value("seed"), set()).update(machines(run))
            column = f"train_{clock_of(run.value('device_kind'))}"
    alone = {seed: names.pop() for seed, names in used.items() if len(names) == 1}
    machine = max(alone.values(), key=list(alone.values()).count, default="")  # the first of equally many
    return {"seeds": [seed for seed, name in alone.items() if name == machine], "machine": machine, "column": column}


def forms_of(table: Lines, spec: Spec) -> tuple[str, str]:
    r"""What `build_table` returned as Markdown and as LaTeX, a float that needs `\usepackage{booktabs}`.

    Raises:
        UserError: the spec shows a column that does not exist.
    """
    patterns = kinds_of("tables")[spec["kind"]].SHOWN.split()
    usual = [name for pattern in patterns for name in fnmatch.filter(table.attrs["headers"], pattern)]
    show = list(spec.get("show") or usual)
    for name in ("dataset", "source"):
        if table[name].nunique() > 1 and name not in show:
            show.append(name)
    show = [table.attrs["timed"]["column"] if name == "train_seconds" else name for name in show]
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


def notes_of(table: Lines, spec: Spec, show: Words) -> Words:
    """What the templates say below a table, an entry each."""
    measured = table[table["source"] == "measured"]
    words = {}
    for name in table:
        between = "; " if name in ("device", "commit") else " or "
        words[name] = distinct(measured[name], between)
    used = {clock_of(kind) for kind in measured.get("device_kind", [])}
    text = render(
        "notes.md",
        **words,
        SEEDS=SEEDS,
        spec=spec,
        kind=kinds_of("tables")[spec["kind"]],
        show=show,
        kept=min(spec["images"], MOST_FEATURES),
        published=table[table["source"] == "published"].to_dict("records"),
        measured=measured.to_dict("records"),
        timed=table.attrs["timed"],
        clocks=" and ".join(words for clock, words in CLOCKS.items() if clock in used),
    )
    return [" ".join(entry.split()) for entry in re.split(r"^- ", text, flags=re.MULTILINE)[1:]]


def readable(table: Lines, show: Words) -> Lines:
    """Some of a table's columns in readable form, rows of one dataset together, "-" for an empty cell.

    Spreads (`{name}_sd`), intervals (`{name}_lower`, `{name}_upper`) and ranges (`{name}_low`, `{name}_high`) are shown
    with their number, bounds are marked.

    Raises:
        UserError: one that cannot be shown.
    """
    headers = table.attrs["headers"]
    table = table.sort_values("dataset", key=lambda names: names.factorize()[0], kind="stable", ignore_index=True)
    shown = table.copy()

    def join(name: str, template: str, *others: str) -> None:
        cells = zip(shown[name], *(table[other] for other in others), strict=True)
        shown[name] = [template.format(*texts) if all(texts) else texts[0] for texts in cells]

    for name in show:
        if name not in headers:
            raise UserError(f"show: a table of this kind has no column '{name}'{nearest(name, headers)}")
        beside = table.attrs["columns"][name].beside
        for template, ends in SPREAD.items():
            others = [f"{name}_{end}" for end in ends]
            if others[0] in table and RANGE not in beside:
                join(name, template, *others)
        if beside:
            join(name, *beside)
        if name.startswith("bits_per_dim"):
            shown[name] = shown[name].mask((table["bound"] == "<=") & (shown[name] != ""), "≤ " + shown[name])
        if name == "temperature":  # not in the label as well
            shown["model"] = [
                label.removesuffix(f", {drawn_at(value)}")
                for label, value in zip(table["model"], table["temperature"], strict=True)
            ]
    return shown[list(show)].replace("", "-").rename(columns=headers)
