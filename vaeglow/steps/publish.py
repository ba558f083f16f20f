"""Copy finished tables, figures or claims of one preset to where a reader looks for them."""

from __future__ import annotations

import shutil
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from vaeglow import files
from vaeglow.errors import UserError
from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--source", nargs="+", required=True, help="files to copy")
    parser.add_argument("--output", nargs="+", required=True, help="where to, in the same order")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Copy each source to its output: whole or not at all.

    Raises:
        UserError: a source is missing, or the two lists differ in length.
    """
    options = parse(argv)
    if len(options.source) != len(options.output):
        raise UserError(f"{len(options.source)} --source files but {len(options.output)} --output files")
    for source in options.source:
        if not Path(source).is_file():
            raise UserError(f"{source} does not exist: run the step that makes it first")
    for source, output in zip(options.source, options.output, strict=True):
        with files.atomic_path(output) as temporary:
            shutil.copyfile(source, temporary)


if __name__ == "__main__":
    cli.run(main)
