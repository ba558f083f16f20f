"""Make one table of published and measured numbers: CSV, Markdown and HTML for reading, LaTeX for a paper."""

from pathlib import Path

from vaeglow import files
from vaeglow.steps import cli


@cli.step
def main(
    *, spec: Path, published: Path, results_root: Path, output: Path, markdown: Path, html: Path, latex: Path
) -> None:
    """Read, check; write CSV (`output`) and the other forms.

    Args:
        published: resources/published.csv
    """
    from vaeglow.reporting.tables import build_table, forms_of, page

    content = files.read_json(spec)
    table = build_table(content, published, results_root)
    text, latex_text = forms_of(table, content)
    forms = {output: table.to_csv(index=False), markdown: text, html: page(text), latex: latex_text}
    for path, form in forms.items():
        files.write_text(path, form)
