"""Copy all tables, or all figures, into one folder to browse or take away."""

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
    parser.add_argument("--source", nargs="+", required=True, help="files to copy, no two of one name")
    parser.add_argument("--output-dir", required=True, type=Path, help="folder to copy them to")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Copy each source, under its own name: whole or not at all.

    Raises:
        UserError: a source is missing, or two have one name.
    """
    options = parse(argv)
    names = [Path(source).name for source in options.source]
    for source, name in zip(options.source, names, strict=True):
        if names.count(name) > 1:
            raise UserError(f"{source}: another source is named {name} too; rename the table or figure in config")
        if not Path(source).is_file():
            raise UserError(f"{source} does not exist: run the step that makes it first")
    for source, name in zip(options.source, names, strict=True):
        with files.atomic_path(options.output_dir / name) as temporary:
            shutil.copyfile(source, temporary)


if __name__ == "__main__":
    cli.run(main)
