"""Write one run's resolved config, the input of its training step."""

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
    parser = argparse.ArgumentParser(prog="python -m vaeglow.steps.write_config", description=__doc__)
    parser.add_argument("--json", required=True, help="the resolved config, as JSON text")
    parser.add_argument("--output", required=True, help="config.json to write")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Check that the text is a JSON object and write it in readable form.

    Raises:
        UserError: it is not.
    """
    arguments = parse(sys.argv[1:] if argv is None else argv)
    try:
        resolved = json.loads(arguments.json)
    except json.JSONDecodeError as error:
        raise UserError(f"--json is not JSON ({error}): quote it as one argument") from None
    if not isinstance(resolved, dict):
        raise UserError("--json must be a JSON object, a run's resolved config")
    files.write_json(arguments.output, resolved)


if __name__ == "__main__":
    cli.run(main)
