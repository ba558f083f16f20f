"""Record that a run was registered: trained after the commit of its registration, with exactly its config."""

from pathlib import Path
from subprocess import SubprocessError

from vaeglow.config import merge, phases, read_layer, resolve
from vaeglow.config.check import present_config
from vaeglow.errors import UserError
from vaeglow.files import read_json, sha256_file, sha256_json
from vaeglow.paths import identity, result_path
from vaeglow.results import check_together, collect, git, read_result, write_result
from vaeglow.steps import cli
from vaeglow.study import differing

# Claims are registered before their test images are seen (docs/registered.md). A registration is an overlay of the
# config. A run belongs to it if it was trained from a commit that contains the overlay's last change: an overlay that
# is edited after a run no longer has that run.


def committed(overlay: Path) -> dict[str, str]:
    """The `commit` that changed a registration last, and its `sha256`.

    Raises:
        UserError: it is not committed as it is, or there is no git to say so.
    """
    try:
        commit = git(Path.cwd(), "log", "-1", "--format=%H", "--", str(overlay)).strip()
        changed = git(Path.cwd(), "status", "--porcelain", "--", str(overlay))
    except (OSError, SubprocessError) as error:
        raise UserError(
            f"git cannot say when {overlay} was committed ({error}): use a clone with its history"
        ) from None
    if changed or not commit:
        raise UserError(f"{overlay} is not committed as it is: a registration counts from its commit on")
    return {"commit": commit, "sha256": sha256_file(overlay)}


@cli.step
def main(*, config: Path, training: Path, overlay: Path, output: Path) -> None:
    """Check, then write the registration's commit and hash beside the run's names and hashes.

    Args:
        config: the run's config.json
        overlay: the registration, an overlay of the config
    """
    provenance = collect()
    registered = committed(overlay)
    content = read_json(config)
    run = read_result(training, config_sha256=sha256_json(content))
    settings = read_layer(overlay)
    whole = merge(present_config(), settings)
    if run.value("seed") not in settings["seeds"]:
        raise UserError(f"{training}: seed {run.value('seed')} is not registered in {overlay}: train one that is")
    difference = differing(content, resolve(whole, **identity(content)))
    if difference:
        raise UserError(f"{config} is not as {overlay} registers it: {difference}: train it without other overlays")
    commit = registered["commit"]
    runs = [read_result(result_path(output.parents[4], "training", **identity(phase))) for phase in phases(content)]
    check_together(runs)
    for trained in runs:
        if trained.value("provenance", "dirty"):
            raise UserError(
                f"{trained.path}: trained from sources that differ from commit {trained.commit}: not a registered run"
            )
        try:
            git(Path.cwd(), "merge-base", "--is-ancestor", commit, trained.commit)
        except SubprocessError:
            raise UserError(
                f"{trained.path}: trained at commit {trained.commit[:12]}, and {overlay} was changed last by commit "
                f"{commit[:12]}, which is not before it: not a registered run"
            ) from None
    hashes = {key: run.value(key) for key in ("config_sha256", "data_sha256", "weights_sha256")}
    write_result(output, {**identity(content), **hashes, "registered": registered}, [training], provenance)
