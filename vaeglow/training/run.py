"""The files of a training run: its data and base weights, a log of each attempt, and what it writes."""

import os
from argparse import Namespace
from contextlib import suppress
from math import isfinite
from pathlib import Path
from stat import S_ISREG

from vaeglow.data.arrays import read_info
from vaeglow.errors import UserError
from vaeglow.files import AnyPath, Config, Facts, atomic_path, read_json, sha256_json
from vaeglow.models.base import GenerativeModel, image_shape
from vaeglow.paths import identity
from vaeglow.results import now, read_result, write_result
from vaeglow.training.trainer import Trainer
from vaeglow.weights import KEY, SNAPSHOTS_KEY, load_model, write_tensors

ATTEMPTS = 10  # logs kept of earlier attempts


def keep_log(folder: Path) -> None:
    """Keep what this process prints to a file as `folder`/NUMBER.log, too: Snakemake deletes a job's log at a new try.

    Does nothing if stdout is not a file or a hard link is impossible.
    """
    with suppress(OSError):
        if not S_ISREG(os.fstat(1).st_mode):
            return
        folder.mkdir(parents=True, exist_ok=True)
        numbers = sorted(int(log.stem) for log in folder.glob("[0-9]*.log"))
        number = max(numbers, default=0) + 1
        os.link(os.readlink("/proc/self/fd/1"), folder / f"{number}.log")
        for old in [*numbers, number][:-ATTEMPTS]:
            (folder / f"{old}.log").unlink(missing_ok=True)


def write_results(trainer: Trainer, info: Facts, base: Facts, provenance: Facts, options: Namespace) -> None:
    """Snapshots, weights, history and, last, the summary that names them all by hash."""
    position = trainer.position
    config = trainer.config
    objective = trainer.objective
    about = {"config": config, "data": info, "base_sha256": base.get("weights_sha256")}
    about["provenance"] = {**provenance, "finished": now()}
    write_tensors(options.snapshots, trainer.kept, SNAPSHOTS_KEY, about | {"snapshots": position.snapshots})
    weights_sha256 = write_tensors(options.model, trainer.model.state_dict(), KEY, about)
    write_history(options.history, position.history)
    phase = {"epochs": config["training"]["epochs"], "device": provenance["device"]}
    for clock in ("seconds", "cpu_seconds"):  # what rollbacks discarded included
        phase[f"train_{clock}"] = getattr(position, clock) + sum(lost[clock] for lost in position.rollbacks)
    last = position.history[-1]
    summary = {
        **identity(config),
        **{f"{name}_by_phase": [*base.get(f"{name}_by_phase", []), value] for name, value in phase.items()},
        "compile_seconds": position.compile_seconds,
        "device_kind": trainer.device.type,
        "train_images": len(trainer.data),
        "parameters": trainer.model.parameter_count,
        # Of the training images, as is the mean over its last epoch; None: not finite, or no `validate_every`.
        f"end_{objective}": finite_or_none(trainer.end_loss),
        f"last_epoch_{objective}": finite_or_none(last[objective]),
        f"val_{objective}": finite_or_none(last[f"val_{objective}"]),
        "skipped_steps": sum(row["skipped_steps"] for row in position.history),
        "rollbacks": position.rollbacks,
        "config_sha256": sha256_json(config),
        "data_sha256": sha256_json(info["sha256"]),
        "weights_sha256": weights_sha256,
    }
    inputs = [options.config, options.model, options.history, options.snapshots]
    if base:
        inputs += [options.base, options.base_training]
    write_result(options.training, summary, inputs, provenance)


def finite_or_none(value: float | None) -> float | None:
    """A number that JSON can hold."""
    return value if value is not None and isfinite(value) else None


def check_unchanged(trained_on: Facts, options: Namespace) -> None:
    """Refuse (UserError) config, data or base that changed while it trained: Snakemake takes the results as new."""
    current = {
        "config": read_json(options.config),
        "data": read_info(options.data_dir)["sha256"],
        "base": trained_on["base"] and read_result(options.base_training).content.get("weights_sha256"),
    }
    for what, value in trained_on.items():
        if current[what] != value:
            raise UserError(
                f"the {what} of {options.model} changed while it was trained: nothing is written; run the same command "
                "again to train it on what is there now"
            )


def check_data(config: Config, data_dir: AnyPath) -> Facts:
    """The prepared data's info; UserError where they are not the dataset that the config describes."""
    info = read_info(data_dir)
    for key, value in {"name": config["dataset"], **image_shape(config)}.items():
        if info[key] != value:
            raise UserError(
                f"{data_dir} holds data with {key} {info[key]}, the run's config says {value}: prepare the data again"
            )
    return info


def load_base(model: GenerativeModel, config: Config, info: Facts, options: Namespace) -> Facts:
    """Load the base's trained weights into a model that has a base.

    Returns:
        The base's training summary, empty for a model without a trained base.

    Raises:
        UserError: the files are not those of the base that the config names, trained on these data.
    """
    if "training" not in (config["base"] or {}):  # no base, or only its architecture is used
        return {}
    if options.base is None or options.base_training is None:
        raise UserError(f"{config['model']} needs its base {config['base']['model']}: give --base and --base-training")
    base, about = load_model(options.base, "cpu")
    if about["config"] != config["base"]:
        raise UserError(f"{options.base} was trained under another config than this run's base: train it again")
    if about["data"]["sha256"] != info["sha256"]:
        raise UserError(f"{options.base} was trained on other data than {options.data_dir} holds: train it again")
    part = model if config.get("mode") == "finetune" else model.vae
    part.load_state_dict(base.state_dict())
    return read_result(options.base_training, weights_sha256=about["weights_sha256"]).content


def write_history(path: AnyPath, history: list[Facts]) -> None:
    """history.csv: a row an epoch."""
    from pandas import DataFrame  # imported late: takes a fifth of a second, not needed before the first step

    with atomic_path(path) as temporary:
        DataFrame(history).to_csv(temporary, index=False)
