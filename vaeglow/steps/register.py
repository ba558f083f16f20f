"""Record that a run was registered: trained after the commit of its registration, with exactly its config."""

from pathlib import Path

from vaeglow.steps import cli


@cli.step
def main(*, config: Path, training: Path, overlay: Path, output: Path) -> None:
    """Check, then write the registration's commit and hash beside the run's names and hashes.

    Args:
        config: the run's config.json
        overlay: the registration, an overlay of the config
    """
    import yaml

    from vaeglow.config import merge, phases, read_config, resolve
    from vaeglow.errors import UserError
    from vaeglow.files import read_json
    from vaeglow.paths import identity, result_path
    from vaeglow.registration import check_after, committed
    from vaeglow.results import collect, read_result, write_result
    from vaeglow.study import differing

    provenance = collect()
    registered = committed(overlay)
    run = read_result(training)
    content = read_json(config)
    settings = yaml.safe_load(overlay.read_text(encoding="utf-8"))
    whole = merge(read_config(Path("config").joinpath), settings)
    if run.value("seed") not in settings["seeds"]:
        raise UserError(f"{training}: seed {run.value('seed')} is not registered in {overlay}: train one that is")
    difference = differing(content, resolve(whole, **identity(content)))
    if difference:
        raise UserError(f"{config} is not as {overlay} registers it: {difference}: train it without other overlays")
    for phase in phases(content):
        path = result_path(output.parents[4], "training", **identity(phase))
        check_after(read_result(path), registered["commit"], overlay)
    hashes = {key: run.value(key) for key in ("config_sha256", "data_sha256", "weights_sha256")}
    write_result(output, {**identity(content), **hashes, "registered": registered}, [training], provenance)
