"""What the tests of evaluation and data share: stand-ins for networks, files of images."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from run_tools import Run

from vaeglow.models.base import GenerativeModel
from vaeglow.weights import load_model

CLASSIFIER = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


def left_in(folder: Path) -> list[str]:
    """All files under a folder, if there is one."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def one_line(*words: str) -> str:
    """A pattern for `pytest.raises`: a message of one line with these words, in this order."""
    return rf"\A.*{'.*'.join(map(re.escape, words))}.*\Z"


def network_of(run: Run) -> GenerativeModel:
    """The network of a trained run, a new one each time."""
    network, _ = load_model(run.model, "cpu")
    return network


def images_of(run: Run) -> np.ndarray:
    return np.load(run.data / "test.npy")


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
