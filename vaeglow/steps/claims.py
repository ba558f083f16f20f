"""Make the claims ledger: what was measured of each claim of the paper, how surely, and a verdict by a stated rule."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow import files
from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--spec", required=True, help="the claims, a JSON file (vaeglow.config.plan.spec)")
    parser.add_argument("--results-root", required=True, help="the folder that holds the presets' folders")
    parser.add_argument("--output", required=True, help="CSV file to write")
    parser.add_argument("--markdown", required=True, help="Markdown file to write")
    parser.add_argument("--html", required=True, help="HTML file to write")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Read, measure, judge, write.

    Raises:
        UserError: evidence that is missing, damaged, or does not belong together.
    """
    options = parse(argv)
    from vaeglow.reporting.claims.ledger import build_ledger, to_markdown
    from vaeglow.reporting.forms import to_html

    spec = files.read_json(options.spec)
    ledger = build_ledger(spec, options.results_root)
    text = to_markdown(ledger, spec)
    files.write_text(options.output, ledger.to_csv(index=False))
    files.write_text(options.markdown, text)
    files.write_text(options.html, to_html(text))


if __name__ == "__main__":
    cli.run(main)
