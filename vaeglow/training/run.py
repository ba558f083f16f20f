"""One training run from its files to its files: config, data, base weights -> weights, history, summary."""

from __future__ import annotations

import os
import socket
import stat
from argparse import Namespace
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from vaeglow.data.arrays import open_split, read_info
from vaeglow.device import pick_device, set_threads
from vaeglow.distributed import joined, launch
from vaeglow.errors import UserError
from vaeglow.files import atomic_path, read_json, sha256_json
from vaeglow.models.base import GenerativeModel
from vaeglow.models.kinds import build
from vaeglow.paths import Run
from vaeglow.provenance import collect, ended, now
from vaeglow.results import write_result
from vaeglow.training.checkpoint import Checkpoints, Position
from vaeglow.training.speed import set_memory
from vaeglow.training.trainer import Diverged, Trainer
from vaeglow.weights import load_model, save_model

ATTEMPTS = 10  # logs kept of earlier attempts at a run


def train_run(options: Namespace) -> None:
    """Train, or go on training, the model of one run, then write its declared outputs.

    Args:
        options: the flags of the step `train`.

    Raises:
        UserError: the config is none, the data do not fit it, or whatever training raises.
    """
    config = read_json(options.config)
    if not isinstance(config, dict):
        raise UserError(f"{options.config} is not a JSON object: delete it and run again")
    devices = config["training"]["devices"]
    if launch(devices):
        return
    set_threads(config["training"]["threads"])
    device = pick_device(options.device)
    provenance = collect(str(device))
    info = check_data(config, options.data_dir)
    model = build(config)
    set_memory(model, options.memory)
    base_sha256, base_training = load_base(model, config, info, options)
    with joined(devices, device) as (group, device):
        identity = sha256_json({"config": config, "data": info["sha256"], "base": base_sha256})
        store = Checkpoints(options.state_dir, identity)
        with store.locked() if group.first else nullcontext():
            group.gather()  # the others touch nothing before the first holds the lock
            if group.first:
                keep_log(store.folder / "attempts")
            together = f" and {group.size - 1} more" if group.size > 1 else ""
            whose = f"process {os.getpid()} of {socket.gethostname()}{together}"
            print(f"{now()}: {config['model']} on {config['dataset']}, {whose}", flush=True)
            events = Path(options.state_dir).with_name("tensorboard") if options.tensorboard else None
            images = (open_split(options.data_dir, split) for split in ("train", "val"))
            trainer = Trainer(model, config, *images, device, store, 60 * options.save_minutes, events, group)
            try:
                trainer.run()
            except Diverged as error:
                kept = store.folder / "history.csv"
                if group.first:
                    write_history(kept, trainer.position.history)
                raise Diverged(f"{error}. The epochs up to there: {kept}") from None
            if group.first:
                check_unchanged(config, info, base_sha256, options)
                write_results(trainer, config, info, base_sha256, base_training, options, provenance)


def keep_log(folder: Path) -> None:
    """Keep what this process prints to a file as `folder`/NUMBER.log, too: Snakemake deletes a job's log at a new try.

    A terminal or a pipe is no file, and a second name on another disk is not possible: then nothing happens.
    """
    with suppress(OSError):
        if not stat.S_ISREG(os.fstat(1).st_mode):
            return
        folder.mkdir(parents=True, exist_ok=True)
        logs = sorted(folder.glob("[0-9]*.log"), key=lambda log: int(log.stem))
        os.link(os.readlink("/proc/self/fd/1"), folder / f"{int(logs[-1].stem) + 1 if logs else 1}.log")
        for old in logs[: max(0, len(logs) + 1 - ATTEMPTS)]:
            old.unlink(missing_ok=True)


def write_results(
    trainer: Trainer,
    config: dict[str, Any],
    info: dict[str, Any],
    base_sha256: str | None,
    base_training: dict[str, Any],
    options: Namespace,
    provenance: dict[str, Any],
) -> None:
    """Snapshots, weights, history and, last, the summary that names them all by hash."""
    position, model = trainer.position, trainer.model
    digests = {"config_sha256": sha256_json(config), "data_sha256": sha256_json(info["sha256"])}
    about = {"data": info, "base_sha256": base_sha256, "provenance": ended(provenance)}
    trainer.store.pack_snapshots(
        options.snapshots, trainer.snapshots, trainer.steps, {"config": config, **digests, **about}
    )
    weights_sha256 = save_model(options.model, model.eval(), config, about)
    write_history(options.history, position.history)
    summary = {
        **Run.of(config).identity,
        "epochs_by_phase": [*base_training["epochs_by_phase"], config["training"]["epochs"]],
        "train_seconds_by_phase": [*base_training["train_seconds_by_phase"], total(position, "seconds")],
        "train_cpu_seconds_by_phase": [*base_training["train_cpu_seconds_by_phase"], total(position, "cpu_seconds")],
        "compile_seconds": position.compile_seconds,
        "train_images": len(trainer.data),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "end_bits_per_dim": trainer.end_bits_per_dim,  # of the training images, as is the mean over its last epoch
        "last_epoch_bits_per_dim": position.history[-1]["bits_per_dim"],
        "skipped_steps": sum(row["skipped_steps"] for row in position.history),
        "rollbacks": position.rollbacks,
        **digests,
        "weights_sha256": weights_sha256,
    }
    inputs = [options.config, options.model, options.history, options.snapshots]
    inputs += [options.base, options.base_training] if base_sha256 else []
    write_result(options.training, summary, inputs, provenance)


def total(position: Position, clock: str) -> float:
    """`seconds` or `cpu_seconds` of training steps, those that rollbacks gave up included."""
    return getattr(position, clock) + sum(lost.get(clock, 0.0) for lost in position.rollbacks)


def check_unchanged(config: dict[str, Any], info: dict[str, Any], base_sha256: str | None, options: Namespace) -> None:
    """What a run was trained on is still what its files say: else Snakemake would take its results for new ones.

    Raises:
        UserError: config, data or base were changed while it trained.
    """
    changed = {"config": read_json(options.config) != config, "data": read_info(options.data_dir) != info}
    if base_sha256 is not None:
        changed["base"] = read_json(options.base_training).get("weights_sha256") != base_sha256
    for what, differs in changed.items():
        if differs:
            raise UserError(
                f"the {what} of {options.model} changed while it was trained: nothing is written; run the same "
                "command again to train it on what is there now"
            )


def check_data(config: dict[str, Any], data_dir: str) -> dict[str, Any]:
    """The prepared data's info.

    Raises:
        UserError: it is not the dataset the config describes, or of another shape.
    """
    info = read_info(data_dir)
    expected = {"name": config["dataset"]} | {key: config["data"][key] for key in ("channels", "size", "levels")}
    for key, value in expected.items():
        if info[key] != value:
            raise UserError(
                f"{data_dir} holds data with {key} {info[key]}, the run's config says {value}: prepare the data again"
            )
    return info


def load_base(
    model: GenerativeModel, config: dict[str, Any], info: dict[str, Any], options: Namespace
) -> tuple[str | None, dict[str, Any]]:
    """Put the base's trained weights into a model that stands on one.

    Returns:
        The base's weights hash and its training summary; (None, an empty summary) for a model that starts anew.

    Raises:
        UserError: the files are not those of the base that the config names, trained on these data.
    """
    if "training" not in (config["base"] or {}):  # no base, or one of which only the architecture is taken
        return None, {"epochs_by_phase": [], "train_seconds_by_phase": [], "train_cpu_seconds_by_phase": []}
    if options.base is None or options.base_training is None:
        raise UserError(f"{config['model']} stands on {config['base']['model']}: give its --base and --base-training")
    base, about = load_model(options.base, "cpu")
    if about["config"] != config["base"]:
        raise UserError(f"{options.base} was trained under another config than this run's base: train the base again")
    if about["data"]["sha256"] != info["sha256"]:
        raise UserError(f"{options.base} was trained on other data than {options.data_dir} holds: train the base again")
    training = read_json(options.base_training)
    if not isinstance(training, dict) or training.get("weights_sha256") != about["weights_sha256"]:
        raise UserError(f"{options.base_training} is not of the run that made {options.base}: train the base again")
    trained = model if config.get("mode") == "finetune" else model.vae
    trained.load_state_dict(base.state_dict())
    return about["weights_sha256"], training


def write_history(path: str, history: list[dict[str, Any]]) -> None:
    """history.csv: a row an epoch."""
    import pandas as pd  # here: it takes a fifth of a second, which a run need not wait for before its first step

    with atomic_path(path) as temporary:
        pd.DataFrame(history).to_csv(temporary, index=False)
