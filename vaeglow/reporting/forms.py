"""The forms of a table that are read: Markdown and LaTeX, with fewer columns than the CSV, and notes. No torch."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vaeglow.config import nearest
from vaeglow.errors import UserError
from vaeglow.reporting.columns import RANGE
from vaeglow.reporting.frame import Lines, Spec, drawn_at

# Characters with a meaning in LaTeX, or missing in its usual fonts. All in one pass: no escape is escaped.
ESCAPES = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"≤": r"$\leq$", "±": r"$\pm$", "<": "$<$", ">": "$>$", "|": "$|$"}
)
NUMBER = re.compile(r"-|([≤>] )?-?[\d.]+( (±|to|of) -?[\d.]+| \(([\d.]+ to|±) [\d.]+\))*")  # what is right-aligned


def readable(table: Lines, show: Sequence[str]) -> Lines:
    """Some of a table's columns in their readable form, rows of one dataset together, "-" for an empty cell.

    Spreads (`{name}_sd`) and ranges (`{name}_low`, `{name}_high`) are shown with their number, bounds are marked.

    Args:
        table: see `vaeglow.reporting.tables.build_table`.
        show: the columns meant, in order.

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
        if f"{name}_sd" in table and RANGE not in beside:
            join(name, "{} ± {}", f"{name}_sd")
        elif f"{name}_low" in table:
            join(name, "{} ({} to {})", f"{name}_low", f"{name}_high")
        if beside:
            join(name, *beside)
        if name.startswith("bits_per_dim"):
            shown[name] = shown[name].mask((table["bound"] == "<=") & (shown[name] != ""), "≤ " + shown[name])
        if name == "temperature":  # not in the label as well
            endings = [f", {drawn_at(value)}" if value else "" for value in table["temperature"]]
            shown["model"] = [label.removesuffix(end) for label, end in zip(table["model"], endings, strict=True)]
    return shown[list(show)].replace("", "-").rename(columns=headers)


def to_latex(shown: Lines, notes: Sequence[str], spec: Spec) -> str:
    r"""The table as a float that needs `\usepackage{booktabs}`, its notes in comments above, its scale in the caption.

    Args:
        shown: the columns that a reader sees.
        notes: of the table.
        spec: see `vaeglow.config.plan.spec`.
    """
    sides = "".join("r" if all(map(NUMBER.fullmatch, shown[column])) else "l" for column in shown)
    title = re.sub(r"^Table \d+: ", "", spec["title"])  # LaTeX numbers tables itself
    lines = [list(shown), *shown.to_numpy().tolist()]
    return render("table.tex", spec=spec, notes=notes, title=title, sides=sides, lines=lines)


def notes(name: str, **words: Any) -> list[str]:
    """The entries of the Markdown list that the template `tables/{name}.md.j2` makes of these words, a line each."""
    entries = re.split(r"^- ", render(f"{name}.md", **words), flags=re.MULTILINE)[1:]
    return [" ".join(entry.split()) for entry in entries]


def render(name: str, **words: Any) -> str:
    """What the template `tables/{name}.j2` makes of these words; a name that it lacks is an error."""
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).with_name("tables"))
    lines = {"trim_blocks": True, "keep_trailing_newline": True}
    templates = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, **lines)
    templates.filters["latex"] = lambda text: text.translate(ESCAPES)
    return templates.get_template(f"{name}.j2").render(words)
