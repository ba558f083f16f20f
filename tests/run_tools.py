"""What the tests of runs share: tiny structured data, tiny configs, runs in this process and in others."""

import copy
import functools
import importlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from data_tools import prepared
from filelock import SoftFileLease
from waiting import ROOT, Json, Row, text_of

from vaeglow.config import merge, read_config, resolve
from vaeglow.config.check import check_config
from vaeglow.distributed import ALONE
from vaeglow.errors import Interrupted
from vaeglow.files import read_csv, read_json, sha256_json, write_json
from vaeglow.models.base import GenerativeModel, build
from vaeglow.results import Result, read_result
from vaeglow.steps import probe, train
from vaeglow.steps.cli import flags
from vaeglow.training.checkpoint import NEWEST_KEPT, Checkpoints, read_snapshots
from vaeglow.training.trainer import Trainer
from vaeglow.weights import KEY, load_model, write_tensors

Tensors: TypeAlias = Mapping[str, torch.Tensor]
UNTIMED = "^(?!.*seconds)"  # names of columns that hold no times
SIZE = 8
CHANNELS = 3
COUNTS = {"train": 64, "val": 10, "test": 12}
CONFIG: Json = yaml.safe_load("""  # the shipped config in small
datasets: {blobs: {kind: folder, channels: 3, size: 8, levels: 256}}
training:
  {epochs: 2, optimizer: adam, learning_rate: 0.002, betas: [0.9, 0.999], schedule: constant, warmup_epochs: 0,
   batch_size: 16, gradient_clip: 100.0, max_bad_steps: 3, max_rise: 100.0, rollbacks: 2, rollback_factor: 0.5,
   validate_every: 0, kl_weight: 1.0, snapshots: [], threads: 1, precision: float32, compile: false, devices: 1}
models:
  vae:
    kind: vae
    network: {architecture: resnet, num_scale: 2, base_dim: 4, fc_dim: 16, latent_dim: 4, decoder_noise: diagonal,
              initial_noise: 1.0, batch_norm_momentum: 0.1}
    prior: {kind: flow, layers: 2, width: 8}
  vaeglow:
    kind: vae_glow
    base: vae
    mode: frozen
    layer: {squeeze: 2, depth: 2, width: 8, affine_steps: 0, levels: 1, noise_head: false}
  vaeglow_beyond: {like: vaeglow, layer: {affine_steps: 2, levels: 2, noise_head: true}}
  glow:
    kind: glow
    network: {levels: 2, depth: 2, width: 8, coupling: affine}
    training: {optimizer: adamax, warmup_epochs: 1}
  vae_standard: {like: vae, prior: {kind: standard}}
  infogan: {like: vae, network: {architecture: infogan}}
  vae_two_stage: {kind: vae_two_stage, base: vae_standard, second_stage: {width: 16, depth: 3}}
  vaeglow_joint: {like: vaeglow, mode: joint}
  vaeglow_finetune: {like: vaeglow, base: vaeglow, mode: finetune}
  pixelcnn: {kind: pixelcnn, network: {depth: 2, width: 9, kernel: 3, head_width: 9}, training: {learning_rate: 0.02}}
  pixeliqn: {like: pixelcnn, kind: pixeliqn, network: {cosines: 8, huber: 0.002}}
  residual_flow: {kind: residual_flow, network: {levels: 2, depth: 2, width: 8}, training: {learning_rate: 0.02}}
presets: {tiny: {}}
overrides: {}
""")


@functools.cache
def parsed() -> Json:
    """The files of config/; not to be changed."""
    return read_config((ROOT / "config").joinpath)


def shipped_config() -> Json:
    """The files of config/, as the workflow loads them."""
    return copy.deepcopy(parsed())


def study_config(name: str) -> Json:
    """The shipped config with the overlay of a study."""
    return merge(shipped_config(), yaml.safe_load(text_of(f"study/{name}.yaml")))


@functools.cache
def checked(changes: str = "{}") -> dict[str, Json]:
    """`{preset: the config as it sees it}` of the shipped config with an overlay, a YAML text; not to be changed."""
    config = merge(shipped_config(), yaml.safe_load(changes))
    return check_config(config, ROOT / "workflow/schemas/config.schema.yaml", ROOT / "resources/published.csv")


def resolved(model: str, seed: int = 0, **training: Any) -> Json:
    """The resolved config of a tiny run; `training` changes its own training, never its base's."""
    config = resolve(copy.deepcopy(CONFIG), "tiny", "blobs", model, seed)
    config["training"] |= training
    return config


def blobs(count: int, seed: int, size: int = SIZE) -> np.ndarray:
    """Coloured blobs on slanted gradients, uint8 [count, 3, size, size]: much to learn, quickly."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    images = np.empty((count, CHANNELS, size, size), np.uint8)
    for image in images:
        centre = random.random(2)
        slope = random.normal(size=2)
        colour = random.uniform(40, 120, CHANNELS)
        blob = np.exp(-20 * ((x - centre[0]) ** 2 + (y - centre[1]) ** 2))
        shade = 90 + 40 * (slope[0] * x + slope[1] * y)
        image[:] = np.clip(shade + blob * colour[:, None, None], 0, 255)
    return images


def prepare(folder: Path, seed: int = 1, name: str = "blobs", size: int = SIZE, **counts: int) -> Path:
    """A prepared dataset in `folder`."""
    splits = {split: blobs(n, seed + k, size) for k, (split, n) in enumerate((COUNTS | counts).items())}
    return prepared(folder, name=name, **splits)


@functools.cache
def initialised(model: str) -> GenerativeModel:
    """An untrained model after its data-dependent start, in evaluation mode; not to be changed."""
    network = build(resolved(model))
    network.initialise(torch.from_numpy(blobs(32, 1)).add(0.5) / 256)
    return network.eval()


class Run:
    """One run's folder, trained in this process (`train`) or another (`command`)."""

    def __init__(self, folder: Path, config: Json, data: Path, base: Self | None = None, device: str = "cpu") -> None:
        self.folder = folder
        self.config = dict(config)
        self.data = data
        self.base = base
        self.device = device
        self.model = folder / "model.safetensors"
        self.history = folder / "history.csv"
        self.training = folder / "training.json"
        self.state = folder / "state"
        self.snapshots = folder / "snapshots.safetensors"
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", self.config)

    def flags(self, save_minutes: float) -> list[str]:
        files = {name: getattr(self, name) for name in ("model", "history", "training", "snapshots")}
        if self.base is not None:
            files |= {"base": self.base.model, "base_training": self.base.training}
        files |= {"config": self.folder / "config.json", "data_dir": self.data, "state_dir": self.state}
        return flags(**files, device=self.device, memory="stored", save_minutes=save_minutes)

    def train(self, save_minutes: float = 10) -> Self:
        train.main(self.flags(save_minutes))
        return self

    def command(self, save_minutes: float = 10) -> list[str]:
        return [sys.executable, "-m", "vaeglow.steps.train", *self.flags(save_minutes)]

    def start(self, save_minutes: float = 10) -> subprocess.Popen[str]:
        command = self.command(save_minutes)
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def saved_step(self) -> int:
        """The global step of the newest checkpoint, -1 without one."""
        return max((int(path.stem.rpartition("-")[2]) for path in self.state.glob("*-*.safetensors")), default=-1)

    def kept(self) -> dict[int, Tensors]:
        """Step -> weights of the snapshots among the outputs."""
        return {info["step"]: state for info, state in read_snapshots(self.snapshots)}

    def kept_bits(self) -> dict[int, Json]:
        """The same as shapes and bytes."""
        return {step: bits(state) for step, state in self.kept().items()}

    def weights(self) -> Tensors:
        return load_model(self.model, "cpu")[0].state_dict()

    def rows(self) -> list[Row]:
        """history.csv as text, row by row, without the columns that hold times."""
        rows = read_csv(self.history)
        for row in rows:
            del row["seconds"], row["images_per_second"]
        return rows

    def summary(self) -> Json:
        return read_json(self.training)


def losses(rows: Iterable[Mapping[str, Any]]) -> list[float]:
    """Bits/dim of each epoch of a history; PixelIQN's quantile loss."""
    return [float(row.get("bits_per_dim", row.get("quantile_loss"))) for row in rows]


def save_model(path: Path, model: GenerativeModel, config: Json, about: Json) -> str:
    """Write a model's file as training does; the hash of its weights."""
    return write_tensors(path, model.state_dict(), KEY, {"config": config, **about})


def run_probe(name: str, run: Run, output: Path, settings: Json, **reads: Path) -> Result:
    """The result of the step `probe`, on a CPU; `reads`: beside the run's model and data, or in their place."""
    found = {"model": run.model, "train": run.data / "train.npy", "test": run.data / "test.npy", **reads}
    words = [f"{key}={path}" for key, path in found.items()]
    probe.main([name, "--reads", *words, *flags(settings=json.dumps(settings), device="cpu", output=output)])
    return read_result(output, None)


def trainer(config: Json, device: str = "cpu") -> Trainer:
    """A trainer of a tiny run, its state in a new folder."""
    store = Checkpoints(Path(tempfile.mkdtemp()) / "state", "0" * 64)
    store.folder.mkdir()
    images = blobs(64, 1), blobs(10, 2)
    return Trainer(build(config), config, *images, torch.device(device), store, math.inf, None, ALONE)


def identity(run: Run) -> str:
    """The name of a run's state."""
    base = run.base.summary()["weights_sha256"] if run.base else None
    return sha256_json({"config": run.config, "data": read_json(run.data / "dataset.json")["sha256"], "base": base})


def holder(state: Path) -> int | None:
    """The process that holds a state folder's lease."""
    return SoftFileLease(state / "lease").pid


def states(run: Run) -> list[Path]:
    """A run's checkpoints, the newest first."""
    return Checkpoints(run.state, identity(run)).states()


def newest(run: Run) -> Tensors:
    """The tensors of a run's newest checkpoint: weights and optimiser."""
    loaded = Checkpoints(run.state, identity(run)).load()
    assert loaded is not None
    return loaded[0]


def interrupt(run: Run, steps: int, save_minutes: float = 0) -> Run:
    """Train a run for so many steps only, counted from 1: this process gets a SIGTERM in the last of them."""
    plain = Trainer.train_step
    count = 0

    def train_step(self: Trainer, index: torch.Tensor, step: int, sums: Tensors) -> None:
        nonlocal count
        plain(self, index, step, sums)
        count += 1
        if count == steps:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", train_step)
        with pytest.raises(Interrupted, match="SIGTERM: state saved"):
            run.train(save_minutes)
    return run


def bits(tensors: Tensors) -> Json:
    """Shapes and bytes of tensors: NaN equals NaN, 0.0 does not equal -0.0."""
    return {name: (tensor.shape, tensor.numpy(force=True).tobytes()) for name, tensor in tensors.items()}


def same_tensors(left: Tensors, right: Tensors) -> bool:
    """Bit for bit."""
    return bits(left) == bits(right)


def assert_equal_runs(left: Run, right: Run) -> None:
    """The same weights, optimiser, history, snapshots and rollbacks, and no more files left."""
    assert same_tensors(left.weights(), right.weights())
    assert same_tensors(newest(left), newest(right))
    assert left.rows() == right.rows()
    assert left.kept_bits() == right.kept_bits()
    assert left.summary()["weights_sha256"] == right.summary()["weights_sha256"]
    events, wanted = (pd.DataFrame(run.summary()["rollbacks"]) for run in (left, right))
    pd.testing.assert_frame_equal(events.filter(regex=UNTIMED), wanted.filter(regex=UNTIMED))
    files = {"config.json", "history.csv", "model.safetensors", "snapshots.safetensors", "state", "training.json"}
    assert {path.name for path in left.folder.iterdir()} == files
    assert len(list(left.state.glob("*-*.safetensors"))) <= NEWEST_KEPT
    assert not list(left.state.rglob(".*tmp*"))


def run_step(name: str, **options: Any) -> None:
    """Run a step script in this process; `options` of `flags`."""
    importlib.import_module(f"vaeglow.steps.{name}").main(flags(**options))
