"""A trained model, by `vaeglow.load(path)` or `vaeglow.train(images)`, and what it can do.

import vaeglow
model = vaeglow.load("results/demo/photos32/vaeglow/seed0/model.safetensors")
images = model.sample(16, temperature=0.5, seed=0)
"""

from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from warnings import warn

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vaeglow.config import merge, phases, read_config, resolve
from vaeglow.config.check import check_config
from vaeglow.data import moments, value_counts, write_dataset
from vaeglow.device import pick_device
from vaeglow.errors import UserError
from vaeglow.evaluation import trained
from vaeglow.evaluation.likelihood import EVALUATION, dequantised_batches, importance_bits_per_dim
from vaeglow.evaluation.probes.interpolation import interpolate
from vaeglow.files import Facts, atomic_path, write_json
from vaeglow.models.bounds import quantise
from vaeglow.paths import identity, result_path, shipped
from vaeglow.reporting.style import image_grid
from vaeglow.steps import train as training_step
from vaeglow.weights import load_model


def as_array(images: Any) -> np.ndarray:
    """Images [N, C, H, W], C 1 or 3: a uint8 tensor or array, or a list of PIL images. UserError for anything else."""
    modes = {getattr(image, "mode", None) for image in images} if isinstance(images, list) else set()
    if modes in ({"L"}, {"RGB"}):
        sizes = {image.size for image in images}
        if len(sizes) > 1:
            raise UserError(f"PIL images must have one size, not {sorted(sizes)[:3]}: resize them")
        images = np.stack([np.atleast_3d(np.asarray(image)).transpose(2, 0, 1) for image in images])
    kind = getattr(images, "dtype", type(images).__name__)
    if str(kind).removeprefix("torch.") != "uint8":
        raise UserError(
            f"images must be uint8, not {kind}: give a tensor or array [N, C, H, W] of 0..255, or a list of PIL "
            "images, all RGB or all L"
        )
    if images.ndim != 4 or images.shape[1] not in (1, 3) or 0 in images.shape:
        raise UserError(f"images must have shape [N, C, H, W] with C 1 or 3, not {list(images.shape)}")
    return images.cpu().numpy() if isinstance(images, Tensor) else images


def save_images(images: Any, path: str | Path) -> None:
    """Write images (see `as_array`) as PNG: to a path in `.png` all in a grid, else each to a file of a new folder."""
    path = Path(path)
    array = as_array(images)
    one_file = path.suffix == ".png"
    if path.exists() and (path.is_file() != one_file or (path.is_dir() and any(path.iterdir()))):
        raise UserError(f"{path} already exists: give a new or empty folder, or a .png file")
    if path.suffix.lower() in Image.registered_extensions() and not one_file:
        raise UserError(f"{path}: pictures are written as PNG: name it {path.with_suffix('.png').name}")
    with atomic_path(path) as temporary:
        if one_file:
            shape = array.shape[1:]
            columns = int(np.ceil(len(array) ** 0.5))
            blank = np.full((-len(array) % columns, *shape), 255, np.uint8)
            grid = np.concatenate([array, blank]).reshape(-1, columns, *shape)
            Image.fromarray(image_grid(grid)).save(temporary, "PNG")
        else:
            temporary.mkdir()
            for number, image in enumerate(array):
                Image.fromarray(image_grid(image[None, None])).save(temporary / f"{number:05}.png")


def train(
    images: Any,
    model: str = "vaeglow",
    preset: str = "demo",
    seed: int = 0,
    folder: str | Path = "",
    device: str = "auto",
    **overrides: Any,
) -> "Model":
    """Train a model in this process as the workflow does, its base first, by the config that comes with the package.

    Args:
        images: square ones, see `as_array`; all train.
        model: its name in the config.
        preset: its name in the config: how large the networks are, how long they train.
        seed: of weights, order and noise.
        folder: for data, weights and resume state; the same call resumes from it. By default a temporary one.
        device: `auto`, `cpu` or `cuda`.
        **overrides: changes to the config, as its key `overrides` takes them. What does not fit is a UserError.
    """
    x = as_array(images)
    if len(x) < 2 or x.shape[2] != x.shape[3]:
        raise UserError(f"to train, two or more square images are needed, not {list(x.shape)}")
    data = {"kind": "npz", "file": "in memory", "channels": x.shape[1], "size": x.shape[2], "levels": 256}
    changes = {"preset": preset, "datasets": {"images": data}, "overrides": overrides}
    config = merge(read_config(shipped("config").joinpath), changes)
    check_config(config, shipped("workflow/schemas/config.schema.yaml"), shipped("resources/published.csv"))
    runs = phases(resolve(config, preset, "images", model, seed))
    if any(run["training"]["devices"] > 1 for run in runs):
        raise UserError("vaeglow.train uses one process: set training.devices to 1, or use the workflow")
    how = {"device": device, "memory": "stored", "save_minutes": 10, "tensorboard": False}
    base = {}
    threads = torch.get_num_threads()
    with nullcontext(folder) if folder else TemporaryDirectory() as root:
        data_dir = Path(root, "data")
        mean, std = moments(value_counts(x, 256))
        info = {"name": "images", **data, "mean": mean, "std": std, "source": {"made_by": "vaeglow.train"}}
        write_dataset(data_dir, {"train": x, "val": x[:0], "test": x[:0]}, info)
        try:
            for run in runs:
                names = ("config", "model", "history", "training", "snapshots")
                files = {name: result_path(root, name, **run) for name in names}
                write_json(files["config"], run)
                state = files["model"].with_name("state")
                # the step itself, without its command line
                training_step.main.__wrapped__(**files, **how, **base, state_dir=state, data_dir=data_dir)
                base = {"base": files["model"], "base_training": files["training"]}
        finally:
            torch.set_num_threads(threads)  # a run has a number of its own
        return Model(files["model"], device)


class Model:
    """A trained model of any kind, from its one self-describing file.

    Images in and out are uint8 [N, C, H, W], a tensor, an array or (in) a list of PIL images; all results are on the
    CPU. Images of another type, shape or range than those it was trained on raise a UserError.

    Attributes:
        config: the resolved config it was trained under.
        about: the file's metadata: that config, data statistics, provenance, hashes.
        network: the `vaeglow.models.base.GenerativeModel` itself.
        device: where it computes.
    """

    def __init__(self, path: str | Path, device: str = "auto") -> None:
        """Load a `model.safetensors` (UserError where it is none, or damaged) to `auto`, `cpu` or `cuda`."""
        self.device = pick_device(device)
        self.network, self.about = load_model(path, self.device)
        self.config: Facts = self.about["config"]

    def __repr__(self) -> str:
        """The names of its run, the epochs of its phases, its size and that of its images, in one line."""
        size = f"{sum(parameter.numel() for parameter in self.network.parameters()):,} parameters"
        epochs = "+".join(str(run["training"]["epochs"]) for run in phases(self.config))
        names = ", ".join(f"{key} {value}" for key, value in identity(self.config).items())
        return f"<vaeglow.Model: {names}, {epochs} epochs, {size}, images {'x'.join(map(str, self.network.shape))}>"

    def sample(self, count: int, temperature: float = 1.0, seed: int = 0) -> Tensor:
        """Draw images.

        Args:
            count: how many.
            temperature: scales the decoder's noise (VAE, VAEGlow; 0 is the decoder mean) or all noise (Glow, Residual
                Flow). 1 samples from the trained model itself; PixelCNN and PixelIQN take 1 only.
            seed: of all noise.

        Returns:
            uint8 [count, C, H, W]. Images that overflowed (`vaeglow.evaluation.trained.sample`) give a warning.

        Raises:
            UserError: count below 1, a temperature below 0 or not finite, or one that the model does not have.
        """
        images, exploded = trained.sample(self.network, count, temperature, seed, self.device)
        if exploded:
            warn(f"{exploded} of {count} samples overflowed and were clipped", stacklevel=2)
        return images

    def bits_per_dim(self, images: Any, importance_samples: int = 1, seed: int = 0) -> Tensor:
        """An estimate, from random draws, of an upper bound on -log2 P(image) / D for each image.

        The bound is its mean over the draws; average over images, or raise `importance_samples`.

        Args:
            images: uint8 [N, C, H, W], values below the data's `levels`.
            importance_samples: K, 1 to 10 or a multiple of 10; the bound tightens as it grows. 1 for a Residual Flow.
            seed: of dequantisation and latent noise.

        Returns:
            float64 [N].

        Raises:
            UserError: an illegal K, or a model without a likelihood (PixelIQN).
        """
        bounds = importance_bits_per_dim(
            self.network, self.check(images), [importance_samples], trained.BATCH_SIZE, seed, self.device
        )
        return bounds[importance_samples]

    @torch.no_grad()
    def reconstruct(self, images: Any, seed: int = 0) -> Tensor:
        """Reconstructions of images: VAE g_mu(E[z|y]), VAEGlow f^-1(g_mu(E[z|y])), Glow the image itself.

        Args:
            images: uint8 [N, C, H, W], as are the results.
            seed: of the dequantisation noise.
        """
        batches = dequantised_batches(
            self.network, self.check(images), trained.BATCH_SIZE, seed, EVALUATION, self.device
        )
        return torch.cat([quantise(self.network.reconstruct(y), self.network.levels).cpu() for _, y, _ in batches])

    def interpolate(self, pairs: int, steps: int, seed: int = 0, space: str = "prior") -> Tensor:
        """Images between random latents (paper, figure 5), as the probe `interpolation` makes them.

        Args:
            pairs: how many pairs of latents.
            steps: images from one end to the other, ends included; at least 2.
            seed: of the latents.
            space: `prior`, straight lines in the prior's base space; `latent`, great circles between the same latents.

        Returns:
            uint8 [pairs, steps, C, H, W], without decoder noise.

        Raises:
            UserError: the model has no VAE latent (Glow), pairs < 1, steps < 2, or no such space.
        """
        parts = trained.vae_and_layer(self.network, self.config, "interpolate")
        return interpolate(*parts, pairs, steps, space, seed, self.device)

    def check(self, images: Any) -> Tensor:
        """The images as a uint8 tensor; UserError where they are not what the model was trained on."""
        x = torch.from_numpy(np.array(as_array(images)))
        if tuple(x.shape[1:]) != self.network.shape:
            expected = ", ".join(map(str, self.network.shape))
            raise UserError(f"images must have shape [N, {expected}], not {list(x.shape)}")
        if int(x.max()) >= self.network.levels:
            raise UserError(f"pixel value {int(x.max())} is out of range: the model knows {self.network.levels} levels")
        return x
