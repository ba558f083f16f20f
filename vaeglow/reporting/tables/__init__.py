"""Tables of config's `tables`, a module for each kind. No torch; pandas is imported when a table is made.

A kind's module has

READS    -> what it reads of each row (keys of `vaeglow.paths.RESULTS`)
SCHEMA   -> its entries' own keys in config, a JSON schema each
COLUMNS  -> its columns, or `columns_of(spec, rows)`
SHOWN    -> the names of the columns that a reader sees, or `shown(table, spec)`
and optionally
rows(spec, results_root)  -> where a row is not of one model's runs: what its columns take, row by row

Beside it the Jinja template `{kind}.md.j2` says how the numbers were measured and what must not be compared. It has
`spec`; `kind`, the module; `show`, the names of the columns that a reader sees; the rows `published` and `measured`;
and under the name of each column its values in measured rows.
"""

import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from vaeglow.data.arrays import MOST_FEATURES
from vaeglow.reporting import forms, frame, traced
from vaeglow.reporting.frame import Lines, Spec

KINDS: dict[str, ModuleType] = {
    module.name: importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__)
}


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

    kind, cited = KINDS[spec["kind"]], pd.read_csv(published, dtype=str, keep_default_na=False)
    if hasattr(kind, "rows"):
        rows = list(kind.rows(spec, results_root))
    else:
        read = frame.results_frame(spec["rows"], results_root, kind.READS, spec)
        rows = [lines for _, lines in read.groupby("row")]
    columns = kind.columns_of(spec, rows) if hasattr(kind, "columns_of") else kind.COLUMNS
    texts = cited[cited["table"] == spec["published"]].assign(source="published").to_dict("records")
    for lines in rows:
        cells = {column.name: column.cell(lines) for column in columns}
        texts.append(cells | traced.trace_cells(frame.results_of(lines)))
    names = [*(column.name for column in columns), *traced.COLUMNS]
    table = traced.sealed(pd.DataFrame(texts, columns=names, dtype=object).fillna(""))
    table.attrs["columns"] = {column.name: column for column in columns}  # for `forms_of`
    return table


def forms_of(table: Lines, spec: Spec) -> tuple[str, str]:
    """What `build_table` returned as Markdown and as LaTeX.

    Raises:
        UserError: the spec shows a column that does not exist.
    """
    kind = KINDS[spec["kind"]]
    show = kind.shown(table, spec) if hasattr(kind, "shown") else spec.get("show") or kind.SHOWN.split()
    show = [*show, *(name for name in ("dataset", "source") if table[name].nunique() > 1 and name not in show)]
    shown = forms.readable(table, show)
    published, measured = (table[table["source"] == source] for source in ("published", "measured"))
    words = {name: traced.distinct(measured[name], "; " if name in ("device", "commit") else " or ") for name in table}
    words |= {"spec": spec, "kind": kind, "show": show, "kept": min(spec["images"], MOST_FEATURES)}
    words |= {"published": published.to_dict("records"), "measured": measured.to_dict("records")}
    notes = forms.notes("notes", **words)
    # Everything is text already: `disable_numparse` keeps 46.90 from becoming 46.9.
    body, listed = shown.to_markdown(index=False, disable_numparse=True), "\n".join(f"- {note}" for note in notes)
    return f"# {spec['title']}\n\n{body}\n\n{listed}\n", forms.to_latex(shown, notes, spec)
