"""Write one run's resolved config, the input of its training step."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from vaeglow import files
from vaeglow.steps import cli


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Read the command line."""
    parser = cli.step_parser(__doc__)
    parser.add_argument("--json", required=True, help="the resolved config, as JSON text")
    parser.add_argument("--output", required=True, help="config.json to write")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Check that the text is a JSON object and write it in readable form.

    Raises:
        UserError: it is not.
    """
    options = parse(argv)
    resolved = cli.json_object("--json", options.json)
    files.write_json(options.output, resolved)


if __name__ == "__main__":
    cli.run(main)
