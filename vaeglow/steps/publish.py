"""Copy finished tables of one preset to where a reader looks for them."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from vaeglow import files
from vaeglow.errors import UserError
from vaeglow.steps import cli


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m vaeglow.steps.publish", description=__doc__)
    parser.add_argument("--source", nargs="+", required=True, help="files to copy")
    parser.add_argument("--output", nargs="+", required=True, help="where to, in the same order")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Copy each source to its output: whole or not at all.

    Raises:
        UserError: a source is missing, or the two lists differ in length.
    """
    arguments = parse(sys.argv[1:] if argv is None else argv)
    if len(arguments.source) != len(arguments.output):
        raise UserError(f"{len(arguments.source)} --source files but {len(arguments.output)} --output files")
    for source in arguments.source:
        if not Path(source).is_file():
            raise UserError(f"{source} does not exist: run the step that makes it first")
    for source, output in zip(arguments.source, arguments.output, strict=True):
        with files.atomic_path(output) as temporary:
            shutil.copyfile(source, temporary)


if __name__ == "__main__":
    cli.run(main)
