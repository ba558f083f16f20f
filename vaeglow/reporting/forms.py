"""The forms of a table that people read: Markdown with its notes, and LaTeX for a paper. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vaeglow.reporting import columns
from vaeglow.reporting.tables import kind_module

if TYPE_CHECKING:
    import pandas as pd


def readable(table: pd.DataFrame, spec: Mapping[str, Any]) -> pd.DataFrame:
    """The columns that a reader sees: those its kind shows (`SHOWN`), or what its kind makes of them (`readable`)."""
    kind = kind_module(spec)
    return kind.readable(table, spec) if hasattr(kind, "readable") else columns.readable(table, kind.SHOWN)


def to_markdown(table: pd.DataFrame, spec: Mapping[str, Any]) -> str:
    """The table and its notes.

    Args:
        table: what `vaeglow.reporting.tables.build_table` returned.
        spec: see `vaeglow.config.plan.spec`.
    """
    # Everything is text already: `disable_numparse` keeps 46.90 from becoming 46.9.
    text = readable(table, spec).to_markdown(index=False, disable_numparse=True)
    notes = "\n".join(f"- {note}" for note in kind_module(spec).notes_of(table, spec))
    return f"# {spec['title']}\n\n{text}\n\n{notes}\n"


# What LaTeX reads as more than itself, and signs that its usual fonts lack. All in one pass: no escape is escaped.
ESCAPES = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"≤": r"$\leq$", "±": r"$\pm$", "<": "$<$", ">": "$>$", "|": "$|$"}
)
NUMBER = re.compile(r"-|([≤>] )?-?[\d.]+( (±|to|of) -?[\d.]+| \(([\d.]+ to|±) [\d.]+\))*")  # what stands flush right


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return text.translate(ESCAPES)


def to_latex(table: pd.DataFrame, spec: Mapping[str, Any]) -> str:
    r"""The table as a float that needs `\usepackage{booktabs}`.

    Args:
        table: what `vaeglow.reporting.tables.build_table` returned.
        spec: see `vaeglow.config.plan.spec`.

    Returns:
        The Markdown form's columns and rows; its notes are comments above, its scale stands in the caption.
    """
    shown = readable(table, spec)
    numeric = [all(NUMBER.fullmatch(text) for text in shown[column]) for column in shown]
    title = re.sub(r"^Table \d+: ", "", spec["title"])  # LaTeX counts by itself
    title = title[:1].upper() + title[1:]
    scale = " (demo scale)" if spec["preset"] == "demo" else ""
    cited = " Published rows are cited, not measured." if "published" in set(table["source"]) else ""
    text = (
        shown.map(escape)
        .rename(columns=escape)
        .style.hide(axis="index")
        .to_latex(
            hrules=True,
            position="t",
            position_float="centering",
            column_format="".join("r" if right else "l" for right in numeric),
            caption=escape(f"{title}. Preset {spec['preset']}{scale}.{cited}"),
            label=f"tab:{spec['name']}",
        )
    )
    notes = [
        r"Needs \usepackage{booktabs}.",
        *(note.replace("**", "") for note in kind_module(spec).notes_of(table, spec)),
    ]
    return "".join(f"% {note}\n" for note in notes) + text
