"""Draw a sheet of samples: a row of images for each model and temperature, and for the data."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
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
    options = parse(argv)
    spec = cli.json_object("--spec", options.spec)
    from vaeglow.reporting import style
    from vaeglow.reporting.drawn import read_rows
    from vaeglow.reporting.figures import sample_sheet

    rows = read_rows(spec, options.results_root, options.data_dir)
    commits = [row.commit for row in rows if row.commit is not None]
    footer = style.footer(spec["preset"], spec["dataset"], spec["seed"], commits)
    style.save(sample_sheet(rows, spec["columns"], spec["lines_per_row"], spec["title"], footer), *options.output)


if __name__ == "__main__":
    cli.run(main)
