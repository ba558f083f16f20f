"""Train or resume one run (paper, sections 3 and 4.2), described by its config.json.

A VAE with its prior (phase 1), the Glow layer on a frozen VAE (phase 2), all of them jointly, or fine-tuned (section
3.4), the second stage of a two-stage VAE (section 4.1), or a baseline (Glow, PixelCNN, PixelIQN, Residual Flow).
"""

from argparse import Namespace
from contextlib import nullcontext
from os import environ, getpid
from socket import gethostname
from typing import Literal

from vaeglow.steps import cli


@cli.step
def main(
    *,
    config: str,
    data_dir: str,
    base: str | None = None,
    base_training: str | None = None,
    state_dir: str,
    device: str,
    memory: Literal["stored", "checkpoint"],
    save_minutes: float,
    tensorboard: bool,
    model: str,
    history: str,
    training: str,
    snapshots: str,
) -> None:
    """Train or resume one run.

    Args:
        config: the run's config.json
        base: weights of its base model, if it has one
        base_training: that model's training.json
        state_dir: folder for resume state and lock
        save_minutes: save resume state at least this often
        tensorboard: write event files next to the state folder
        model: output: weights, .safetensors
        history: output: a row an epoch, .csv
        training: output: epochs, seconds, hashes, .json
        snapshots: output: weights at fractions of the run, .safetensors
    """
    options = Namespace(**locals())
    from vaeglow.data.arrays import open_split
    from vaeglow.device import set_threads
    from vaeglow.distributed import launch, process_group
    from vaeglow.files import sha256_json
    from vaeglow.models.base import build
    from vaeglow.results import collect, now, read_result
    from vaeglow.training.checkpoint import Checkpoints
    from vaeglow.training.optimise import Diverged, recompute_activations
    from vaeglow.training.run import check_data, check_unchanged, keep_log, load_base, write_history, write_results
    from vaeglow.training.trainer import Trainer

    run = read_result(config).content
    devices = run["training"]["devices"]
    if devices > 1 and "RANK" not in environ:  # set by torchrun
        return launch(devices)
    set_threads(run["training"]["threads"])
    with process_group(devices, device) as (group, on):
        provenance = collect(str(on))
        info = check_data(run, data_dir)
        network = build(run)
        recompute_activations(network, memory == "checkpoint")
        base_summary = load_base(network, run, info, options)
        trained_on = {"config": run, "data": info["sha256"], "base": base_summary.get("weights_sha256")}
        store = Checkpoints(state_dir, sha256_json(trained_on))
        with store.lock.held() if group.first else nullcontext():
            group.gather()  # the others change nothing before the first holds the lock
            if group.first:
                keep_log(store.folder / "attempts")
            name = f"{run['model']} on {run['dataset']}"
            together = f" and {group.size - 1} more" if group.size > 1 else ""
            print(f"{now()}: {name}, process {getpid()} of {gethostname()}{together}")
            images = [open_split(data_dir, split) for split in ("train", "val")]
            events = store.folder.with_name("tensorboard") if tensorboard else None
            trainer = Trainer(network, run, *images, on, store, 60 * save_minutes, events, group)
            try:
                trainer.run()
            except Diverged as error:
                epochs = store.folder / "history.csv"
                if group.first:
                    write_history(epochs, trainer.position.history)
                raise Diverged(f"{error}. The epochs so far: {epochs}") from None
            if group.first:
                check_unchanged(trained_on, options)
                write_results(trainer, info, base_summary, provenance, options)
