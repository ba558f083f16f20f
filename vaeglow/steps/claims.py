"""Make the claims ledger: for each claim of the paper a measurement, its certainty, and a verdict by a stated rule."""

from pathlib import Path

from vaeglow.files import read_json, write_text
from vaeglow.steps import cli


@cli.step
def main(*, spec: Path, results_root: Path, output: list[Path]) -> None:
    """Read, measure, judge, write.

    Args:
        output: the CSV, the CSV with all columns, .md and .html
    """
    from vaeglow.reporting.claims.ledger import build_ledger, to_markdown
    from vaeglow.reporting.templates import page
    from vaeglow.reporting.traced import csv_forms

    content = read_json(spec)
    ledger = build_ledger(content, results_root)
    text = to_markdown(ledger, content)
    for path, form in zip(output, (*csv_forms(ledger), text, page(text)), strict=True):
        write_text(path, form)
