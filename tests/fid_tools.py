"""What the FID tests share: random Inception weights, pytorch-fid's network, real images."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from PIL import Image
from pytorch_fid import fid_score
from pytorch_fid import inception as pytorch_fid_inception
from skimage import data as pictures

from vaeglow.evaluation.fid import frechet_distance, image_features
from vaeglow.evaluation.inception import load_inception

CLASSIFIER = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}


def empty_network() -> torch.nn.Module:
    """pytorch-fid's network before weights are loaded, all at their initial values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytorch_fid_inception, "load_state_dict_from_url", lambda *_, **__: {})
        patch.setattr("torchvision.models.Inception3.load_state_dict", lambda *_: None)
        return pytorch_fid_inception.fid_inception_v3()


@functools.cache
def random_weights() -> dict[str, torch.Tensor]:
    """Random weights that keep activations of order one, with batch norms that do something."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for name, tensor in empty_network().state_dict().items():
        if name.startswith("fc.") or name.endswith("num_batches_tracked"):
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("conv.weight"):
            made[name] = noise * (2 / tensor[0].numel()) ** 0.5
        else:
            made[name] = 0.1 * noise + name.endswith(("bn.weight", "running_var"))
    return made


def pytorch_fid_network(state: dict[str, torch.Tensor], features: int, **options: bool) -> torch.nn.Module:
    """The network as pytorch-fid builds it, unfolded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytorch_fid_inception, "load_state_dict_from_url", lambda *_, **__: {**state, **CLASSIFIER})
        block = pytorch_fid_inception.InceptionV3.BLOCK_INDEX_BY_DIM[features]
        return pytorch_fid_inception.InceptionV3([block], **options).eval()


def photographs(count: int, side: int = 32, seed: int = 0) -> np.ndarray:
    """Random crops of a real photograph, uint8 [count, 3, side, side]."""
    picture, rng = pictures.astronaut(), np.random.default_rng(seed)
    corners = rng.integers(0, 512 - side, (count, 2))
    return np.stack([picture[y : y + side, x : x + side].transpose(2, 0, 1) for y, x in corners])


def fid_the_pytorch_fid_way(
    one: np.ndarray,
    two: np.ndarray,
    state: dict[str, torch.Tensor],
    features: int,
    folder: Path,
) -> float:
    """pytorch-fid on PNG files, its loop and its statistics; the root written out, as scipy's call has changed."""
    net, statistics = pytorch_fid_network(state, features), []
    for name, images in (("one", one), ("two", two)):
        (folder / name).mkdir(parents=True)
        for i, image in enumerate(images):
            Image.fromarray(image.transpose(1, 2, 0)).save(folder / name / f"{i:03}.png")
        args = (str(folder / name), net, 5, features, "cpu", 0)
        statistics.append(fid_score.compute_statistics_of_path(*args))
    (mean1, covariance1), (mean2, covariance2) = statistics
    trace = np.trace(scipy.linalg.sqrtm(covariance1 @ covariance2).real)
    return ((mean1 - mean2) ** 2).sum() + np.trace(covariance1) + np.trace(covariance2) - 2 * trace


def our_fid(one: np.ndarray, two: np.ndarray, path: Path, features: int) -> float:
    net = load_inception(path, features, "cpu")
    first, second = (image_features(images, net, features, 10, "cpu")[1] for images in (one, two))
    return frechet_distance(first.mean, first.covariance, second.mean, second.covariance)
