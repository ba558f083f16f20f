"""Make one table of published and measured numbers: CSV, Markdown for reading, LaTeX for a paper."""

from pathlib import Path

from vaeglow import files
from vaeglow.steps import cli


@cli.step
def main(*, spec: Path, published: Path, results_root: Path, output: Path, markdown: Path, latex: Path) -> None:
    """Read, check; write CSV (`output`), Markdown and LaTeX.

    Args:
        published: resources/published.csv
    """
    from vaeglow.reporting.tables import build_table, forms_of

    content = files.read_json(spec)
    table = build_table(content, published, results_root)
    texts = forms_of(table, content)
    for path, text in zip((output, markdown, latex), (table.to_csv(index=False), *texts), strict=True):
        files.write_text(path, text)
