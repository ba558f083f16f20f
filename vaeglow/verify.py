"""Re-hash a results folder and say what no longer matches: `python -m vaeglow.verify results --data resources/data`.

One line a mismatch (file, expected, found, what to do), then what is not there or was not checked, then the counts.
Exit status: 0 all that is there matches, 1 something does not, 2 no results. Nothing is changed. More:
docs/provenance.md.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from vaeglow.steps import cli
from vaeglow.verification.tree import verify

EXIT_MISMATCH = 1


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("results", type=Path, help="the folder that holds the presets' folders")
    parser.add_argument("--data", type=Path, help="the folder that holds the prepared datasets' folders")
    parser.add_argument("--all", action="store_true", help="name every file that is not there or was not checked")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Verify and print.

    Raises:
        UserError: no results, or no data, where they should be.
        SystemExit: status 1, something does not match.
    """
    options = parse(argv)
    report = verify(options.results, options.data)
    if options.data is None:
        print("not checked: prepared data: give their folder with --data")
    for line in report.lines(options.all):
        print(line)
    if not report.clean:
        sys.exit(EXIT_MISMATCH)


if __name__ == "__main__":
    cli.run(main)
