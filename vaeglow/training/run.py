"""One training run from its files to its files: config, data, base weights -> weights, history, summary."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vaeglow.data.arrays import open_split, read_info
from vaeglow.device import pick_device, set_threads
from vaeglow.errors import UserError
from vaeglow.files import atomic_path, read_json, sha256_json, write_json
from vaeglow.models.base import GenerativeModel
from vaeglow.models.build import build
from vaeglow.models.store import load_model, save_model
from vaeglow.models.two_stage import TwoStageVAE
from vaeglow.models.vae_glow import VAEGlow
from vaeglow.provenance import collect
from vaeglow.training.loop import Trainer
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
    identity = sha256_json({"config": config, "data": info["sha256"], "base": base_sha256})
    state = StateFolder(options.state_dir, identity)
    with state.locked():
        trainer = Trainer(
            model,
            config,
            open_split(options.data_dir, "train"),
            open_split(options.data_dir, "val"),
            device,
            state,
            60 * options.save_minutes,
            Path(options.state_dir).with_name("tensorboard") if options.tensorboard else None,
        )
        position = trainer.run()
        digests = {"config_sha256": sha256_json(config), "data_sha256": sha256_json(info["sha256"])}
        about = {"data": info, "base_sha256": base_sha256, "provenance": provenance}
        trainer.snapshots.pack(options.snapshots, {"config": config, **digests, **about})
        weights_sha256 = save_model(options.model, model.eval(), config, about)
        write_history(options.history, position.history)
        write_json(
            options.training,
            {
                **{key: config[key] for key in ("preset", "dataset", "model", "seed")},
                "epochs_by_phase": [*base_training["epochs_by_phase"], config["training"]["epochs"]],
                "train_seconds_by_phase": [*base_training["train_seconds_by_phase"], position.seconds],
                "compile_seconds": position.compile_seconds,
                "train_images": len(trainer.data),
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "skipped_steps": sum(row["skipped_steps"] for row in position.history),
                **digests,
                "weights_sha256": weights_sha256,
                "base_sha256": base_sha256,
                "provenance": provenance,
            },
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
        return None, {"epochs_by_phase": [], "train_seconds_by_phase": []}
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
