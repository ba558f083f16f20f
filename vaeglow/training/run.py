"""One training run from its files to its files: config, data, base weights -> weights, history, summary."""

from __future__ import annotations

import os
import socket
from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from vaeglow.config import as_before
from vaeglow.data.arrays import open_split, read_info
from vaeglow.device import pick_device, set_threads
from vaeglow.errors import Interrupted, UserError
from vaeglow.files import atomic_path, read_json, sha256_file, sha256_json, write_json
from vaeglow.models.base import GenerativeModel
from vaeglow.models.build import build
from vaeglow.models.store import load_model, save_model
from vaeglow.models.two_stage import TwoStageVAE
from vaeglow.models.vae_glow import VAEGlow
from vaeglow.provenance import collect, ended, now, seal
from vaeglow.signals import EXIT_INTERRUPTED
from vaeglow.team import team
from vaeglow.training.attempts import keep_log
from vaeglow.training.loop import Trainer
from vaeglow.training.position import Position
from vaeglow.training.rollback import Diverged
from vaeglow.training.state import StateFolder


def train_run(options: Namespace, kind: str, modes: Sequence[str | None] = (None,)) -> None:
    """Train, or go on training, the model of one run, then write its declared outputs.

    Args:
        options: the step's flags (`vaeglow.steps.cli.training_parser`).
        kind: the model kind the step is for.
        modes: of a vae_glow, those the step is for.

    Raises:
        UserError: the config is of another kind or mode, the data do not fit it, or whatever training raises.
    """
    config = read_json(options.config)
    if not isinstance(config, dict):
        raise UserError(f"{options.config} is not a JSON object: delete it and run again")
    if config.get("kind") != kind:
        raise UserError(f"{options.config} describes a model of kind {config.get('kind')}, this step trains {kind}")
    if config.get("mode") not in modes:
        trained = " or ".join(str(mode) for mode in modes)
        raise UserError(f"{options.config} describes a model of mode {config.get('mode')}, this step trains {trained}")
    set_threads(config["training"]["threads"])
    device = pick_device(options.device)
    provenance = collect(str(device))
    info = check_data(config, options.data_dir)
    model = build(config)
    base_sha256, base_training = load_base(model, config, info, options)
    with team(as_before(config["training"])["devices"], device) as (us, device):
        together = f" and {us.size - 1} more" if us.size > 1 else ""
        whose = f"process {os.getpid()} of {socket.gethostname()}{together}"
        print(f"{now()}: {config['model']} on {config['dataset']}, {whose}", flush=True)
        state = StateFolder(options.state_dir, identity_of(config, info, base_sha256), us.first)
        with state.locked() if us.first else nullcontext():
            us.wait()  # the others touch nothing before the first holds the lock
            keep_log(state.folder / "attempts")
            trainer = Trainer(
                model,
                config,
                open_split(options.data_dir, "train"),
                open_split(options.data_dir, "val"),
                device,
                state,
                60 * options.save_minutes,
                Path(options.state_dir).with_name("tensorboard") if options.tensorboard else None,
                us,
            )
            train(trainer)
            if us.first:
                check_unchanged(config, info, base_sha256, options)
                write_results(trainer, config, info, base_sha256, base_training, options, provenance)


def identity_of(config: dict[str, Any], info: dict[str, Any], base_sha256: str | None) -> str:
    """Hex sha256 of all that decides a run's numbers."""
    return sha256_json({"config": config, "data": info["sha256"], "base": base_sha256})


def train(trainer: Trainer) -> None:
    """Run a trainer; of a run that has diverged for good the history is kept.

    Raises:
        Diverged: says where the history lies; and whatever else training raises.
    """
    try:
        trainer.run()
    except (Interrupted, Diverged) as error:
        if not trainer.team.first:
            raise SystemExit(EXIT_INTERRUPTED) from error  # the first process says why
        if isinstance(error, Interrupted):
            raise
        kept = trainer.state.folder / "history.csv"
        write_history(kept, trainer.position.history)
        raise Diverged(f"{error}. The epochs up to there: {kept}") from None


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
    snapshots_sha256 = trainer.snapshots.pack(options.snapshots, {"config": config, **digests, **about})
    weights_sha256 = save_model(options.model, model.eval(), config, about)
    write_history(options.history, position.history)
    cpu = base_training.get("train_cpu_seconds_by_phase")  # a base of an older vaeglow does not say
    summary = {
        **{key: config[key] for key in ("preset", "dataset", "model", "seed")},
        "epochs_by_phase": [*base_training["epochs_by_phase"], config["training"]["epochs"]],
        "train_seconds_by_phase": [*base_training["train_seconds_by_phase"], total(position, "seconds")],
        "train_cpu_seconds_by_phase": None if cpu is None else [*cpu, total(position, "cpu_seconds")],
        "compile_seconds": position.compile_seconds,
        "train_images": len(trainer.data),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "skipped_steps": sum(row["skipped_steps"] for row in position.history),
        "rollbacks": position.rollbacks,
        **digests,
        "weights_sha256": weights_sha256,
        "base_sha256": base_sha256,
        "snapshots_sha256": snapshots_sha256,
        "history_sha256": sha256_file(options.history),
        "provenance": provenance,
    }
    write_json(options.training, seal(summary))


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
    if not isinstance(model, VAEGlow | TwoStageVAE) or config.get("mode") == "joint":
        return None, {"epochs_by_phase": [], "train_seconds_by_phase": [], "train_cpu_seconds_by_phase": []}
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
