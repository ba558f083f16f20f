"""A trained run opened to be looked into: its VAE, its Glow layer, and who it is. Shared by the probing steps."""

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
from vaeglow.models.vae_glow import VAEGlow
from vaeglow.provenance import collect
from vaeglow.weights import load_model

IDENTITY = ("preset", "dataset", "model", "seed")
HASHES = ("config_sha256", "data_sha256", "weights_sha256")


@dataclasses.dataclass(frozen=True)
class Probe:
    """A trained run with a VAE in it.

    Attributes:
        path: of its weights.
        network: the whole model, in evaluation mode.
        vae: the VAE in it (the model itself, where it is one).
        layer: the Glow layer f above it, or None.
        about: the file's metadata.
        config: the resolved config.
        device: where it computes.
        provenance: of this process.
    """

    path: Path
    network: VAE | VAEGlow
    vae: VAE
    layer: GlowLayer | None
    about: dict[str, Any]
    config: dict[str, Any]
    device: torch.device
    provenance: dict[str, Any]

    def identity(self) -> dict[str, Any]:
        """What every file about a run says of it: names, hashes, provenance."""
        return {
            **{key: self.config[key] for key in IDENTITY},
            "config_sha256": sha256_json(self.config),
            "data_sha256": sha256_json(self.about["data"]["sha256"]),
            "weights_sha256": self.about["weights_sha256"],
            "provenance": self.provenance,
        }

    def test_images(self, data_dir: str | Path) -> np.ndarray:
        """The test split that belongs to the run: uint8 [N, C, H, W], memory-mapped.

        Raises:
            UserError: the run was trained on other data, or the split is damaged.
        """
        if read_info(data_dir)["sha256"] != self.about["data"]["sha256"]:
            raise UserError(f"{self.path} was trained on other data than {data_dir} holds: train it again")
        return open_split(data_dir, "test")


def open_probe(path: str | Path, device: str, purpose: str) -> Probe:
    """Load a run's model, and set torch's threads to the run's.

    Args:
        path: its `model.safetensors`.
        device: `auto`, `cpu` or `cuda`.
        purpose: what asks for it, for messages.

    Raises:
        UserError: no such file or device, or a model without a VAE (see `vae_and_layer`).
    """
    chosen = pick_device(device)
    provenance = collect(str(chosen))
    network, about = load_model(path, chosen)
    config = about["config"]
    vae, layer = vae_and_layer(network, config, purpose)
    set_threads(config["training"]["threads"])
    return Probe(Path(path), network, vae, layer, about, config, chosen, provenance)


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


def rms(difference: np.ndarray, dims: int) -> np.ndarray:
    """Root mean square over the last `dims` dimensions, float64."""
    squares = np.asarray(difference, np.float64) ** 2
    return np.sqrt(squares.mean(axis=tuple(range(-dims, 0))))
