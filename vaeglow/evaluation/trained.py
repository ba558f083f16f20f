"""A trained run, opened to be measured: its network, and what every result of it says of itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaeglow.data.arrays import open_split, read_info
from vaeglow.device import pick_device, set_threads
from vaeglow.errors import UserError
from vaeglow.files import sha256_json
from vaeglow.models.base import GenerativeModel
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.vae import VAE
from vaeglow.paths import Run
from vaeglow.provenance import collect
from vaeglow.weights import load_model


@dataclasses.dataclass(frozen=True)
class TrainedRun:
    """A run and its model.

    Attributes:
        path: of its weights.
        network: the model, in evaluation mode.
        about: the file's metadata.
        device: where it computes.
        provenance: of this process.
    """

    path: Path
    network: GenerativeModel
    about: dict[str, Any]
    device: torch.device
    provenance: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        """The resolved config it was trained under."""
        return self.about["config"]

    @property
    def seed(self) -> int:
        """Of training, and of all noise in its evaluation."""
        return self.config["seed"]

    @property
    def identity(self) -> dict[str, Any]:
        """What every result of the run says of it: names and hashes."""
        return {
            **Run.of(self.config).identity,
            "config_sha256": sha256_json(self.config),
            "data_sha256": sha256_json(self.about["data"]["sha256"]),
            "weights_sha256": self.about["weights_sha256"],
        }

    def images(self, path: str | Path) -> np.ndarray:
        """A split of the run's data, `DATA_DIR/{split}.npy`: uint8 [N, C, H, W], memory-mapped.

        Raises:
            UserError: the run was trained on other data, or the split is damaged.
        """
        folder = Path(path).parent
        if read_info(folder)["sha256"] != self.about["data"]["sha256"]:
            raise UserError(f"{self.path} was trained on other data than {folder} holds: train it again")
        return open_split(folder, Path(path).stem)


def open_run(path: str | Path, device: str) -> TrainedRun:
    """Load a run's model, and set torch's threads to the run's.

    Args:
        path: its `model.safetensors`.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        UserError: no such file or device.
    """
    chosen = pick_device(device)
    provenance = collect(str(chosen))
    network, about = load_model(path, chosen)
    set_threads(about["config"]["training"]["threads"])
    return TrainedRun(Path(path), network, about, chosen, provenance)


def vae_and_layer(network: GenerativeModel, config: Mapping[str, Any], purpose: str) -> tuple[VAE, GlowLayer | None]:
    """The VAE in a model, and the Glow layer above it where there is one.

    Args:
        network: the model.
        config: its resolved config.
        purpose: what asks, for the message.

    Raises:
        UserError: a model of another kind: Glow has no VAE, a second-stage VAE has two latents.
    """
    if config["kind"] == "vae_glow":
        return network.vae, network.layer
    if config["kind"] == "vae":
        return network, None
    raise UserError(
        f"{config['model']} is a {config['kind']}: {purpose} needs a model with one VAE latent, a vae or a vae_glow"
    )
