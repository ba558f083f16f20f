"""A table for pasting into a paper: booktabs, with caption and label, its notes as comments. No torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from vaeglow.reporting.tables import kind_module

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
    kind = kind_module(spec)
    shown = kind.readable(table, spec)
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
    notes = [r"Needs \usepackage{booktabs}.", *(note.replace("**", "") for note in kind.notes_of(table, spec))]
    return "".join(f"% {note}\n" for note in notes) + text
