"""The LaTeX form, of which nothing is compiled here."""

import re
from pathlib import Path

import pytest
from table_tools import form, row, run_table, shown, spec_of, write_run

from vaeglow.reporting.forms import ESCAPES

TITLE = "Table 2: FID & bits_per_dim at 50% of {all} $"
ROWS = [row("vaeglow", 0.5, label="ours_new #1 ~ 10% ^2 \\x"), row("vae", 0.0)]
SPEC = spec_of("quality", ROWS, title=TITLE, published="table2", seeds=[0, 1])


@pytest.fixture
def latex(tmp_path: Path) -> str:
    for seed in (0, 1):
        write_run(tmp_path, "vaeglow", [0.5], seed=seed, fid=1.0 + seed)
        write_run(tmp_path, "vae", [0.0], seed=seed)
    run_table(tmp_path, SPEC)
    return form(tmp_path, SPEC, ".tex")


def test_latex_has_the_rows_of_the_markdown_form_and_nothing_is_unescaped(latex, tmp_path):
    sides, inner = re.search(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", latex, re.DOTALL).groups()
    lines = [line for line in inner.splitlines() if not re.fullmatch(r"\\(top|mid|bottom)rule", line)]
    header, *rows = ([cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r" \\"))] for line in lines)
    assert rows == [[value.translate(ESCAPES) for value in cells.values()] for cells in shown(tmp_path, SPEC)]
    for cell in (cell for cells in [header, *rows] for cell in cells):
        left = re.sub(r"\\[&%$#_{}]|\\text[a-z]+\{\}|\$\\(leq|pm)\$|\$[<>|]\$", "", cell)
        assert not re.search(r"[&%#_~^<>|≤±$\\{}]", left), cell
    side = dict(zip(header, sides, strict=True))
    assert (side["FID"], side["bits/dim"], side["Model"], side["Source"]) == ("r", "r", "l", "l")


def test_latex_balances_and_has_a_caption_a_label_and_notes_in_comments(latex):
    comments, _, table = latex.partition(r"\begin{table}")
    plain = re.sub(r"\\[{}]", "", table)
    assert plain.count("{") == plain.count("}") and table.count(r"\begin{") + 1 == table.count(r"\end{")
    assert [table.count(f"\\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 1, 1]
    for text in (
        r"\label{tab:table2}",
        r"\caption{FID \& bits\_per\_dim at 50\% of \{all\} \$. Preset demo (demo scale).",
        r"$\leq$ 4.000 $\pm$ 0.000",
        r"ours\_new \#1 \textasciitilde{} 10\% \textasciicircum{}2 \textbackslash{}x",
    ):
        assert text in table
    assert all(line.startswith("% ") for line in comments.splitlines())
    assert "Demo scale" in comments and "booktabs" in comments
