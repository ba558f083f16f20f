"""Make one table of published and measured numbers: CSV, and Markdown for reading."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from vaeglow import files
from vaeglow.errors import UserError
from vaeglow.steps import cli


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m vaeglow.steps.table", description=__doc__)
    parser.add_argument("--spec", required=True, help="the table, as JSON (vaeglow.plan.table_spec)")
    parser.add_argument("--published", required=True, help="resources/published.csv")
    parser.add_argument("--results-root", required=True, help="the folder that holds the presets' folders")
    parser.add_argument("--output", required=True, help="CSV file to write")
    parser.add_argument("--markdown", required=True, help="Markdown file to write")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Read, check, write.

    Raises:
        UserError: files that are missing, damaged, or do not belong in one table.
    """
    arguments = parse(sys.argv[1:] if argv is None else argv)
    from vaeglow.reporting.markdown import to_markdown
    from vaeglow.reporting.tables import build_table

    try:
        spec = json.loads(arguments.spec)
    except json.JSONDecodeError as error:
        raise UserError(f"--spec is not JSON ({error}): quote it as one argument") from None
    table = build_table(spec, arguments.published, arguments.results_root)
    text = to_markdown(table, spec)
    files.write_text(arguments.output, table.to_csv(index=False))
    files.write_text(arguments.markdown, text)


if __name__ == "__main__":
    cli.run(main)
