"""Draw a sheet of samples: a row of images for each model and temperature, and for the data."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from vaeglow.errors import UserError
from vaeglow.steps import cli


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m vaeglow.steps.sample_sheet", description=__doc__)
    parser.add_argument("--spec", required=True, help="the figure, as JSON (vaeglow.plan.figure_spec)")
    parser.add_argument("--results-root", required=True, help="the folder that holds the presets' folders")
    parser.add_argument("--data-dir", required=True, help="folder of the prepared dataset")
    parser.add_argument("--output", nargs="+", required=True, help="files to write, .png and .pdf")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Read, check, draw, write.

    Raises:
        UserError: files that are missing, damaged, too short, or do not belong in one figure.
    """
    arguments = parse(sys.argv[1:] if argv is None else argv)
    try:
        spec = json.loads(arguments.spec)
    except json.JSONDecodeError as error:
        raise UserError(f"--spec is not JSON ({error}): quote it as one argument") from None
    from vaeglow.reporting import style
    from vaeglow.reporting.drawn import read_rows
    from vaeglow.reporting.figures import sample_sheet

    rows = read_rows(spec, arguments.results_root, arguments.data_dir)
    commits = [row.commit for row in rows if row.commit is not None]
    footer = style.footer(spec["preset"], spec["dataset"], spec["seed"], commits)
    style.save(sample_sheet(rows, spec["columns"], spec["lines_per_row"], spec["title"], footer), *arguments.output)


if __name__ == "__main__":
    cli.run(main)
