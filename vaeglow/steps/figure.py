"""Draw one figure from the arrays and numbers of finished runs; the spec's `kind` says how."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow import files
from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--spec", required=True, help="the figure, a JSON file (vaeglow.config.plan.spec)")
    parser.add_argument("--results-root", required=True, help="the folder that holds the presets' folders")
    parser.add_argument("--data-root", required=True, help="the folder that holds the prepared datasets' folders")
    parser.add_argument("--output", nargs="+", required=True, help="files to write, .png and .pdf")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Read, check, draw, write.

    Raises:
        UserError: files that are missing, damaged, too short, or do not belong in one figure.
    """
    options = parse(argv)
    spec = files.read_json(options.spec)
    from vaeglow.reporting import style
    from vaeglow.reporting.figures import draw

    style.save(draw(spec, options.results_root, options.data_root), *options.output)


if __name__ == "__main__":
    cli.run(main)
