"""Look at a prepared dataset: its numbers to a JSON file and the terminal, images and histograms to a picture."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--data-dir", required=True, type=Path, help="folder of the prepared dataset")
    parser.add_argument("--json", required=True, type=Path, help="file to write the numbers to, .json")
    parser.add_argument("--output", required=True, type=Path, help="file to draw the page to, .png or .pdf")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Read all images, write the numbers, draw the page.

    Raises:
        UserError: not a prepared dataset, or changed since it was prepared.
    """
    options = parse(argv)
    from vaeglow.data.inspection import inspect
    from vaeglow.provenance import collect
    from vaeglow.reporting import data_page, style
    from vaeglow.results import read_result, write_result

    provenance = collect()
    found = inspect(options.data_dir)
    write_result(options.json, found, [], provenance)
    style.save(data_page.draw(read_result(options.json).content, options.data_dir, options.json), options.output)
    for split, about in found["splits"].items():
        print(f"{found['dataset']} {split}: {about['count']:,} images")
        if about["count"]:
            print(f"  {data_page.numbers(about)}\n  {data_page.repetitions(about)}")


if __name__ == "__main__":
    cli.run(main)
