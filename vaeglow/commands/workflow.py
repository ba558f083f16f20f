"""Commands `run` and `init`: the workflow that comes with the package, in any folder."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from vaeglow.errors import UserError
from vaeglow.files import atomic_path
from vaeglow.paths import shipped
from vaeglow.snakemake_errors import check_flags

COPIED = ("config", "profiles")
NOT_COPIED = shutil.ignore_patterns("mine", "tuned")  # made in a clone, for its machine


def run(words: list[str]) -> None:
    """Make results of the workflow in this folder, by Snakemake with this folder's config/ and profiles/ if it has any.

    Args:
        words: targets such as results/table2.csv, and options of Snakemake, which follow --cores 1
    """
    if not find_spec("snakemake"):
        raise UserError('the workflow needs Snakemake: pip install "vaeglow[workflow]"')
    check_flags(words)
    command = ["-m", "snakemake", "--snakefile", str(shipped("Snakefile")), "--cores", "1", *words]
    os.execv(sys.executable, [sys.executable, *command])


def init() -> None:
    """Copy config/ and profiles/ into this folder, to edit: `vaeglow run` then takes these."""
    for name in COPIED:
        if os.path.lexists(name):
            raise UserError(f"{name} is already here: remove it, or choose another folder")
    for name in COPIED:
        with atomic_path(name) as temporary:
            shutil.copytree(shipped(name), temporary, ignore=NOT_COPIED)
    print(f"{Path.cwd()}: config/ and profiles/ are yours to edit; config/README.md explains every key")
