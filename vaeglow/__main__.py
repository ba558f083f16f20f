"""Models of images, their samples, the quality of anybody's, and the paper's tables (docs/python.md)."""

import sys
import warnings
from argparse import ArgumentParser

from vaeglow import __version__
from vaeglow.commands.config import config
from vaeglow.commands.explore import explore
from vaeglow.commands.images import info, sample, score
from vaeglow.commands.models import card, models
from vaeglow.commands.training import train
from vaeglow.commands.workflow import init, run
from vaeglow.steps import cli

COMMANDS = (train, sample, score, info, models, card, explore, run, init, config)


def main() -> None:
    """Run the command that the process's words name."""
    parser = ArgumentParser(prog="vaeglow", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"vaeglow {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        text = command.__doc__.partition("\n")[0]
        how = {"help": text, "description": text, "add_help": False, "allow_abbrev": False}
        parser_of_command = commands.add_parser(command.__name__, parents=[cli.step(command).parser], **how)
        parser_of_command.set_defaults(command=command)
    warnings.formatwarning = lambda message, *_: f"note: {message}\n"
    given = sys.argv[1:]
    if given[:1] == ["run"] and given[1:] and not {"-h", "--help"} & {*given}:
        return cli.run(lambda: run(given[1:]))  # options of Snakemake as they are
    words = vars(parser.parse_args())
    cli.run(lambda: words.pop("command")(**words))


if __name__ == "__main__":
    main()
