"""Samples of a trained model, the quality of anybody's, what a file is, what sets a run's config (docs/python.md)."""

from argparse import ArgumentParser
from importlib.metadata import version

from vaeglow.commands.config import config
from vaeglow.commands.explore import explore
from vaeglow.commands.images import info, sample, score
from vaeglow.steps import cli

COMMANDS = (sample, score, info, config, explore)


def main() -> None:
    """Run the command that the process's words name."""
    parser = ArgumentParser(prog="vaeglow", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"vaeglow {version('vaeglow')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        text = command.__doc__.partition("\n")[0]
        how = {"help": text, "description": text, "add_help": False, "allow_abbrev": False}
        parser_of_command = commands.add_parser(command.__name__, parents=[cli.step(command).parser], **how)
        parser_of_command.set_defaults(command=command)
    words = vars(parser.parse_args())
    cli.run(lambda: words.pop("command")(**words))


if __name__ == "__main__":
    main()
