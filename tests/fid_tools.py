"""What the tests of evaluation share: random Inception weights, pytorch-fid's own way, real images, stand-ins."""

import functools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import scipy.linalg
import torch
from PIL import Image
from pytorch_fid import fid_score
from skimage import data as pictures
from torchvision.models import inception_v3

from vaeglow.evaluation.fid import frechet_distance, image_features
from vaeglow.evaluation.inception import load_inception, pytorch_fid_network

CLASSIFIER = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


class Pixels(torch.nn.Module):
    """Stands for Inception: the features of an image are its pixels."""

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
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


def fid_the_pytorch_fid_way(
    one: np.ndarray, two: np.ndarray, state: dict[str, torch.Tensor], features: int, folder: Path
) -> float:
    """pytorch-fid on PNG files, its loop and its statistics; the root written out, as scipy's call has changed."""
    net, statistics = pytorch_fid_network(state, features), []
    for name, images in (("one", one), ("two", two)):
        args = (str(write_pngs(folder / name, images)), net, 5, features, "cpu", 0)
        statistics.append(fid_score.compute_statistics_of_path(*args))
    (mean1, covariance1), (mean2, covariance2) = statistics
    trace = np.trace(scipy.linalg.sqrtm(covariance1 @ covariance2).real)
    return ((mean1 - mean2) ** 2).sum() + np.trace(covariance1) + np.trace(covariance2) - 2 * trace


def our_fid(one: np.ndarray, two: np.ndarray, path: Path, features: int) -> float:
    net = load_inception(path, features, "cpu")
    first, second = (image_features(images, net, 10, "cpu")[1:] for images in (one, two))
    return frechet_distance(*first, *second)
