"""Make one table of published and measured numbers: CSV, Markdown and HTML for reading, LaTeX for a paper."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow import files
from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--spec", required=True, help="the table, a JSON file (vaeglow.config.plan.spec)")
    parser.add_argument("--published", required=True, help="resources/published.csv")
    parser.add_argument("--results-root", required=True, help="the folder that holds the presets' folders")
    parser.add_argument("--output", required=True, help="CSV file to write")
    parser.add_argument("--markdown", required=True, help="Markdown file to write")
    parser.add_argument("--html", required=True, help="HTML file to write")
    parser.add_argument("--latex", required=True, help="LaTeX file to write")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Read, check, write.

    Raises:
        UserError: files that are missing, damaged, or do not belong in one table.
    """
    options = parse(argv)
    from vaeglow.reporting.tables import build_table, forms_of

    spec = files.read_json(options.spec)
    table = build_table(spec, options.published, options.results_root)
    texts = {"output": table.to_csv(index=False), **forms_of(table, spec)}
    for name, text in texts.items():
        with files.atomic_path(getattr(options, name)) as path:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    cli.run(main)
