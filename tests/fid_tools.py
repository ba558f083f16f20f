"""What the tests of evaluation share: stand-ins for networks, files of images."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image

CLASSIFIER = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


def pixels(images: torch.Tensor) -> list[torch.Tensor]:
    """Stands for Inception: the features of an image are its pixels."""
    return [images.flatten(1)[:, :, None, None]]


def opened(network: torch.nn.Module, images: np.ndarray | None, kind: str = "vae", seed: int = 0) -> Any:
    """What a probe asks of a `TrainedRun`, of any network and images."""
    config = {"kind": kind, "model": kind}
    device = torch.device("cpu")
    return SimpleNamespace(network=network, config=config, seed=seed, device=device, images=lambda _: images)


def write_pngs(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{number:05}.png")
    return folder
