"""Probe a run: `probe latents --reads model=... test=... --settings '{...}' --device cpu --output latents.json`."""

from importlib import import_module
from pathlib import Path
from typing import Literal

from vaeglow.config.registry import kinds_of
from vaeglow.steps import cli


@cli.step
def main(
    name: Literal[tuple(kinds_of("probes"))], *, reads: list[str], settings: dict, device: str, output: Path
) -> None:
    """Probe with the run's own seed; write a .json, a .npz or both.

    Args:
        name: kind of probe (vaeglow/evaluation/probes)
        reads: what it reads, NAME=PATH each; `model` always
        settings: its entry in the config's probes, and batch_size, as JSON
    """
    from vaeglow.evaluation.trained import TrainedRun
    from vaeglow.results import write_result

    words = [word.partition("=") for word in reads]
    paths = {key: Path(path) for key, _, path in words}
    run = TrainedRun(paths["model"], device)
    kind = import_module(f"vaeglow.evaluation.probes.{name}")
    content, arrays = kind.measure(run, paths, settings)
    inputs = [path for path in paths.values() if path.suffix != ".npy"]  # the data have a hash of their own
    if arrays and output.suffix == ".json":  # numbers for readers; the images beside them
        write_result(output.with_suffix(".npz"), {**run.identity, **settings}, inputs, run.provenance, arrays)
        arrays = None
    write_result(output, {**run.identity, **content}, inputs, run.provenance, arrays)
