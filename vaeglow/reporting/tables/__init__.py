"""Tables of config's `tables`, a module for each kind, as CSV; some columns, and notes, as Markdown, HTML and LaTeX.

No torch; pandas is imported when a table is made.

A kind's module has

READS    -> what it reads of each row (keys of `vaeglow.paths.RESULTS`)
SCHEMA   -> its entries' own keys in config, a JSON schema each
COLUMNS  -> its columns, or `columns_of(spec, rows)`; the first are those of its plain CSV (`traced.SHORT`)
SHOWN    -> the names of the columns that a reader sees, or `shown(table, spec)`
and optionally
rows(spec, results_root)  -> the lines of each row, where a row is not of one model's runs
OF_BASES                  -> what it reads of a row's base, of the base's base, ...
needs(entry)              -> what else it reads, a list of {"what", "preset", "dataset", "model"}

Beside it the Jinja template `{kind}.md.j2` says how the numbers were measured and what must not be compared. It has
`spec`; `kind`, the module; `show`, the names of the columns that a reader sees; `kept`, the number of samples for all
but FID; `timed` (`timing_of`); the rows `published` and `measured`; and under the name of each column its values in
measured rows.
"""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vaeglow.config import nearest
from vaeglow.config.registry import kinds_of
from vaeglow.data.arrays import MOST_FEATURES
from vaeglow.errors import UserError
from vaeglow.files import read_csv
from vaeglow.reporting import frame, traced
from vaeglow.reporting.columns import RANGE, SEEDS
from vaeglow.reporting.frame import Lines, Spec, drawn_at
from vaeglow.reporting.tables.timing import clock_of
from vaeglow.results import machines

# Characters with a meaning in LaTeX, or missing in its usual fonts. All in one pass: no escape is escaped.
ESCAPES = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"≤": r"$\leq$", "±": r"$\pm$", "<": "$<$", ">": "$>$", "|": "$|$"}
)
NUMBER = re.compile(r"-|([≤>] )?-?[\d.]+( (±|to|of) -?[\d.]+| \(([\d.]+ to|±) [\d.]+\))*")  # what is right-aligned


def build_table(spec: Spec, published: str | Path, results_root: str | Path) -> Lines:
    """The table's rows, every cell as printed text.

    Args:
        spec: see `vaeglow.config.plan.spec`.
        published: path of resources/published.csv.
        results_root: the folder that holds the presets' folders.

    Returns:
        The columns of its kind and those it is traced by; published rows, then the spec's rows in its order.

    Raises:
        UserError: files that are missing, damaged or do not belong in one table (see `frame.results_frame`).
    """
    import pandas as pd

    kind = kinds_of("tables")[spec["kind"]]
    if hasattr(kind, "rows"):
        rows = list(kind.rows(spec, results_root))
    else:
        read = frame.results_frame(spec["rows"], results_root, kind.READS, spec)
        rows = [lines for _, lines in read.groupby("row")]
    columns = kind.columns_of(spec, rows) if hasattr(kind, "columns_of") else kind.COLUMNS
    timed = timing_of(rows)
    texts = [row | {"source": "published"} for row in read_csv(published) if row["table"] == spec["published"]]
    for lines in rows:
        trained = lines[lines["seed"].isin(timed["seeds"])]
        cells = {column.name: column.cell(trained if column.name.startswith("train_") else lines) for column in columns}
        texts.append(cells | traced.trace_cells(frame.results_of(lines)))
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
    found, column = {}, "train_seconds"
    for lines in rows:
        for seed, run in lines.reindex(columns=["seed", "training"]).dropna().itertuples(index=False):
            found.setdefault(seed, set()).update(machines(run))
            column = f"train_{clock_of(run.value('device_kind'))}"
    alone = {seed: names.pop() for seed, names in found.items() if len(names) == 1}
    machine = max(alone.values(), key=list(alone.values()).count, default="")  # the first of equally many
    return {"seeds": [seed for seed in alone if alone[seed] == machine], "machine": machine, "column": column}


def forms_of(table: Lines, spec: Spec) -> tuple[str, str]:
    r"""What `build_table` returned as Markdown and as LaTeX, a float that needs `\usepackage{booktabs}`.

    Raises:
        UserError: the spec shows a column that does not exist.
    """
    kind = kinds_of("tables")[spec["kind"]]
    show = kind.shown(table, spec) if hasattr(kind, "shown") else spec.get("show") or kind.SHOWN.split()
    show = [*show, *(name for name in ("dataset", "source") if table[name].nunique() > 1 and name not in show)]
    timed = table.attrs["timed"]
    show = [timed["column"] if name == "train_seconds" else name for name in show]
    shown = readable(table, show)
    published, measured = (table[table["source"] == source] for source in ("published", "measured"))
    words = {name: traced.distinct(measured[name], "; " if name in ("device", "commit") else " or ") for name in table}
    words |= {"SEEDS": SEEDS, "spec": spec, "kind": kind, "show": show, "kept": min(spec["images"], MOST_FEATURES)}
    words |= {"published": published.to_dict("records"), "measured": measured.to_dict("records")} | {"timed": timed}
    entries = re.split(r"^- ", render("notes.md", **words), flags=re.MULTILINE)[1:]
    notes = [" ".join(entry.split()) for entry in entries]
    # Everything is text already: `disable_numparse` keeps 46.90 from becoming 46.9.
    body, listed = shown.to_markdown(index=False, disable_numparse=True), "\n".join(f"- {note}" for note in notes)
    sides = "".join("r" if all(map(NUMBER.fullmatch, shown[column])) else "l" for column in shown)
    title = re.sub(r"^Table \d+: ", "", spec["title"])  # LaTeX numbers tables itself
    lines = [list(shown), *shown.to_numpy().tolist()]
    latex = render("table.tex", spec=spec, notes=notes, title=title, sides=sides, lines=lines)
    return f"# {spec['title']}\n\n{body}\n\n{listed}\n", latex


def readable(table: Lines, show: Sequence[str]) -> Lines:
    """Some of a table's columns in readable form, rows of one dataset together, "-" for an empty cell.

    Spreads (`{name}_sd`), intervals (`{name}_lower`, `{name}_upper`) and ranges (`{name}_low`, `{name}_high`) are shown
    with their number, bounds are marked.

    Raises:
        UserError: one that cannot be shown.
    """
    columns, datasets = table.attrs["columns"], list(dict.fromkeys(table["dataset"]))
    headers = {name: column.header for name, column in columns.items() if column.header}
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
            shown[name] = shown[name].mask((table["bound"] == "<=") & (shown[name] != ""), "≤ " + shown[name])
        if name == "temperature":  # not in the label as well
            endings = [f", {drawn_at(value)}" if value else "" for value in table["temperature"]]
            shown["model"] = [label.removesuffix(end) for label, end in zip(table["model"], endings, strict=True)]
    return shown[list(show)].replace("", "-").rename(columns=headers)


def render(name: str, **words: Any) -> str:
    """What the template `{name}.j2`, of tables or claims, makes of these words; a name that it lacks is an error."""
    import jinja2

    loader = jinja2.FileSystemLoader([Path(__file__).parent, Path(__file__).parents[1] / "claims"])
    lines = {"trim_blocks": True, "keep_trailing_newline": True}
    templates = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, **lines)
    templates.filters["latex"] = lambda text: text.translate(ESCAPES)
    return templates.get_template(f"{name}.j2").render(words)


def page(text: str) -> str:
    """A self-contained HTML page, which the report displays, of Markdown that begins with `# title`.

    HTML in the text is shown as text, never run.
    """
    import markdown

    text = html.escape(text, quote=False)
    body = markdown.markdown(text, extensions=["tables", "sane_lists"])
    body = re.sub("<td(?=[^>]*>[^<]{25})", '<td class="long"', body)  # or a narrow window breaks it after each word
    return render("page.html", title=text.splitlines()[0].removeprefix("# "), body=body)
