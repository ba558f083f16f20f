"""What the tests of evaluation share: random Inception weights, real images, stand-ins."""

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from skimage import data as pictures
from torchvision.models import inception_v3

CLASSIFIER = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


def pixels(images: torch.Tensor) -> list[torch.Tensor]:
    """Stands for Inception: the features of an image are its pixels."""
    return [images.flatten(1)[:, :, None, None]]


def opened(network: torch.nn.Module, images: np.ndarray | None, kind: str = "vae", seed: int = 0) -> Any:
    """What a probe asks of a `TrainedRun`, of any network and images."""
    config = {"kind": kind, "model": kind}
    device = torch.device("cpu")
    return SimpleNamespace(network=network, config=config, seed=seed, device=device, images=lambda _: images)


@functools.cache
def random_weights() -> dict[str, torch.Tensor]:
    """Random weights that keep activations of order one, with batch norms that do something."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    # torchvision's network has tensors of the same names and shapes as pytorch-fid's
    for name, tensor in inception_v3(weights=None, aux_logits=False, init_weights=False).state_dict().items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("conv.weight"):
            made[name] = noise * (2 / tensor[0].numel()) ** 0.5
        else:
            made[name] = 0.1 * noise + name.endswith(("bn.weight", "running_var"))
    return made


def photographs(count: int, side: int = 32, seed: int = 0) -> np.ndarray:
    """Random crops of a real photograph, uint8 [count, 3, side, side]."""
    picture, rng = pictures.astronaut(), np.random.default_rng(seed)
    corners = rng.integers(0, 512 - side, (count, 2))
    return np.stack([picture[y : y + side, x : x + side].transpose(2, 0, 1) for y, x in corners])


def write_pngs(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{number:05}.png")
    return folder
