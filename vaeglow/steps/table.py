"""Make one table of published and measured numbers: CSV, Markdown and HTML for reading, LaTeX for a paper."""

from pathlib import Path

from vaeglow import files
from vaeglow.steps import cli


@cli.step
def main(
    *,
    spec: Path,
    published: Path,
    results_root: Path,
    output: Path,
    full: Path,
    markdown: Path,
    html: Path,
    latex: Path,
) -> None:
    """Read, check; write CSV (`output`) and the other forms.

    Args:
        published: resources/published.csv
        full: the CSV with all columns
    """
    from vaeglow.reporting.tables import build_table, forms_of, page
    from vaeglow.reporting.traced import csv_forms

    content = files.read_json(spec)
    table = build_table(content, published, results_root)
    text, latex_text = forms_of(table, content)
    paths = (output, full, markdown, html, latex)
    for path, form in zip(paths, (*csv_forms(table), text, page(text), latex_text), strict=True):
        files.write_text(path, form)
