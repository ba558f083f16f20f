"""Make one table of published and measured numbers: CSV, Markdown and HTML for reading, LaTeX for a paper."""

from pathlib import Path

from vaeglow.files import read_json, write_text
from vaeglow.steps import cli


@cli.step
def main(*, spec: Path, published: Path, results_root: Path, output: list[Path]) -> None:
    """Read, check, write.

    Args:
        published: resources/published.csv
        output: the CSV, the CSV with all columns, .md, .html and .tex
    """
    from vaeglow.reporting.tables import build_table, forms_of
    from vaeglow.reporting.templates import page
    from vaeglow.reporting.traced import csv_forms

    content = read_json(spec)
    table = build_table(content, published, results_root)
    text, latex = forms_of(table, content)
    for path, form in zip(output, (*csv_forms(table), text, page(text), latex), strict=True):
        write_text(path, form)
