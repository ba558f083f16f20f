"""The LaTeX form: nothing is compiled; structure, escapes and agreement with the Markdown form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from table_tools import form, row, run_table, shown, spec_of, write_run

from vaeglow.reporting.forms import escape

TITLE = "Table 2: FID & bits_per_dim at 50% of {all} $"
SPEC = spec_of(
    "quality",
    [row("vaeglow", 0.5, label="ours_new #1 ~ 10% ^2 \\x"), row("vae", 0.0)],
    title=TITLE,
    published="table2",
    seeds=[0, 1],
)
# What may not stand bare in a cell; \& and the like are taken out first.
BARE = re.compile(r"[&%#_~^<>|≤±]")


@pytest.fixture
def text(tmp_path: Path) -> tuple[Path, str]:
    for seed in (0, 1):
        write_run(tmp_path, "vaeglow", [0.5], seed=seed, fid=1.0 + seed)
        write_run(tmp_path, "vae", [0.0], seed=seed)
    run_table(tmp_path, SPEC)
    return tmp_path, form(tmp_path, SPEC, ".tex")


def without_escapes(latex: str) -> str:
    return re.sub(r"\\[&%$#_{}]|\\text[a-z]+\{\}|\$\\(leq|pm)\$|\$[<>|]\$", "", latex)


def body(latex: str) -> list[list[str]]:
    """The cells of all rows, as LaTeX parts them."""
    inner = re.search(r"\\begin\{tabular\}\{[lr]+\}\n(.*?)\\end\{tabular\}", latex, re.DOTALL)[1]
    lines = [line for line in inner.splitlines() if not re.fullmatch(r"\\(top|mid|bottom)rule", line)]
    assert all(line.endswith(r" \\") for line in lines)
    return [re.split(r"(?<!\\)&", line.removesuffix(r" \\")) for line in lines]


def test_every_row_has_the_columns_that_the_format_names_and_nothing_is_unescaped(text):
    folder, latex = text
    columns = len(re.search(r"\\begin\{tabular\}\{([lr]+)\}", latex)[1])
    rows = body(latex)
    assert len(rows) == len(shown(folder, SPEC)) + 1
    assert {len(cells) for cells in rows} == {columns}
    for cell in (cell for cells in rows for cell in cells):
        left = without_escapes(cell)
        assert not BARE.search(left) and not re.search(r"[$\\{}]", left), cell


def test_braces_environments_and_rules_balance(text):
    latex = "\n".join(line for line in text[1].splitlines() if not line.startswith("%"))
    plain = re.sub(r"\\[{}]", "", latex)
    assert plain.count("{") == plain.count("}")
    assert re.findall(r"\\(begin|end)\{(\w+)\}", latex) == [
        ("begin", "table"),
        ("begin", "tabular"),
        ("end", "tabular"),
        ("end", "table"),
    ]
    for rule in ("top", "mid", "bottom"):
        assert latex.count(f"\\{rule}rule") == 1
    assert re.sub(r"\\\$", "", latex).count("$") % 2 == 0


def test_caption_label_bounds_spreads_and_notes(text):
    latex = text[1]
    assert r"\label{tab:table2}" in latex
    assert r"\caption{FID \& bits\_per\_dim at 50\% of \{all\} \$. Preset demo (demo scale)." in latex
    assert r"$\leq$ 4.000 $\pm$ 0.000" in latex and r"$\leq$ 3.17" in latex
    assert r"ours\_new \#1 \textasciitilde{} 10\% \textasciicircum{}2 \textbackslash{}x" in latex
    comments = [line for line in latex.splitlines() if line.startswith("% ")]
    assert any("Demo scale" in line for line in comments) and any("booktabs" in line for line in comments)
    # All notes are comments: nothing but them stands before the float.
    assert all(line.startswith("% ") for line in latex.partition(r"\begin{table}")[0].splitlines())


def test_it_says_what_the_markdown_form_says(text):
    folder, latex = text
    assert [[cell.strip() for cell in cells] for cells in body(latex)[1:]] == [
        [escape(value) for value in cells.values()] for cells in shown(folder, SPEC)
    ]


def test_numbers_stand_flush_right_and_words_flush_left(text):
    header = [cell.strip() for cell in body(text[1])[0]]
    sides = re.search(r"\\begin\{tabular\}\{([lr]+)\}", text[1])[1]
    side = dict(zip(header, sides, strict=True))
    assert (side["FID"], side["bits/dim"], side["Model"], side["Source"]) == ("r", "r", "l", "l")
