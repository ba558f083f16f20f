"""Make the claims ledger: for each claim of the paper a measurement, its certainty, and a verdict by a stated rule."""

from pathlib import Path

from vaeglow import files
from vaeglow.steps import cli


@cli.step
def main(*, spec: Path, results_root: Path, output: Path, markdown: Path, html: Path) -> None:
    """Read, measure, judge; write CSV (`output`), Markdown and HTML."""
    from vaeglow.reporting.claims.ledger import build_ledger, to_markdown
    from vaeglow.reporting.tables import page

    content = files.read_json(spec)
    ledger = build_ledger(content, results_root)
    text = to_markdown(ledger, content)
    files.write_text(output, ledger.to_csv(index=False))
    files.write_text(markdown, text)
    files.write_text(html, page(text))
