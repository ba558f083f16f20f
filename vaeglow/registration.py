"""Claims that are written down before their test images are seen (docs/registered.md): the commit that comes first.

A registration is an overlay of the config. A run belongs to it if it was trained from a commit that contains the
overlay's last change: an overlay that is edited after a run no longer has that run.
"""

import subprocess
from pathlib import Path

from vaeglow.errors import UserError
from vaeglow.files import sha256_file
from vaeglow.results import Result, git


def committed(overlay: Path) -> dict[str, str]:
    """The `commit` that changed a registration last, and its `sha256`.

    Raises:
        UserError: it is not committed as it is, or there is no git to say so.
    """
    try:
        commit = git(Path.cwd(), "log", "-1", "--format=%H", "--", str(overlay)).strip()
        changed = git(Path.cwd(), "status", "--porcelain", "--", str(overlay)).strip()
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(
            f"git cannot say when {overlay} was committed ({error}): use a clone with its history"
        ) from None
    if changed or not commit:
        raise UserError(f"{overlay} is not committed as it is: a registration counts from its commit on")
    return {"commit": commit, "sha256": sha256_file(overlay)}


def check_after(run: Result, registration: str, overlay: Path) -> None:
    """Refuse a run that was not trained from a clean checkout of the registration's commit or a later one.

    Raises:
        UserError: it was trained before, or from changed sources.
    """
    if run.value("provenance", "dirty"):
        raise UserError(f"{run.path}: trained from sources that differ from commit {run.commit}: not a registered run")
    try:
        git(Path.cwd(), "merge-base", "--is-ancestor", registration, run.commit)
    except subprocess.SubprocessError:
        when = f"{overlay} was changed last by commit {registration[:12]}"
        raise UserError(
            f"{run.path}: trained at commit {run.commit[:12]}, and {when}, which is not before it: not a registered run"
        ) from None
