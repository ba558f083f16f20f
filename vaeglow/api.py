"""A trained model: `vaeglow.load(path)` and what it can do.

import vaeglow
model = vaeglow.load("results/demo/photos32/vaeglow/seed0/model.safetensors")
images = model.sample(16, temperature=0.5, seed=0)
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaeglow.device import pick_device
from vaeglow.errors import UserError
from vaeglow.evaluation import likelihood, trained
from vaeglow.evaluation.probes.interpolation import interpolate
from vaeglow.models.bounds import quantise
from vaeglow.weights import load_model

BATCH_SIZE = 100  # images at a time


class Model:
    """A trained VAE, VAEGlow or Glow. Images in and out are uint8 [N, C, H, W]; all results are on the CPU.

    Images of another type, shape or range than those it was trained on raise a UserError.

    Attributes:
        config: the resolved config it was trained under.
        about: the rest of the file's metadata: data statistics, provenance, hashes.
        network: the `vaeglow.models.base.GenerativeModel` itself.
        device: where it computes.
    """

    def __init__(self, path: str | Path, device: str) -> None:
        """See `vaeglow.load`."""
        self.device = pick_device(device)
        self.network, self.about = load_model(path, self.device)
        self.config: dict[str, Any] = self.about["config"]

    def sample(self, count: int, temperature: float = 1.0, seed: int = 0) -> Tensor:
        """Draw images.

        Args:
            count: how many.
            temperature: scales the decoder's noise (VAE, VAEGlow; 0 is the decoder mean) or all noise (Glow).
                1 samples from the trained model itself.
            seed: of all noise.

        Returns:
            uint8 [count, C, H, W]. Images that overflowed (`vaeglow.evaluation.trained.sample`) give a warning.

        Raises:
            UserError: count below 1, or a temperature below 0 or not finite.
        """
        images, exploded = trained.sample(self.network, count, temperature, seed, self.device)
        if exploded:
            warnings.warn(f"{exploded} of {count} samples overflowed and were clipped", stacklevel=2)
        return images

    def bits_per_dim(self, images: Tensor | np.ndarray, importance_samples: int = 1, seed: int = 0) -> Tensor:
        """An estimate, from random draws, of an upper bound on -log2 P(image) / D for each image.

        The bound is its mean over the draws; average over images, or raise `importance_samples`.

        Args:
            images: uint8 [N, C, H, W], values below the data's `levels`.
            importance_samples: K, 1 to 10 or a multiple of 10; the bound tightens as it grows.
            seed: of dequantisation and latent noise.

        Returns:
            float64 [N].

        Raises:
            UserError: an illegal K.
        """
        x = self.check(images)
        bounds = likelihood.importance_bits_per_dim(
            self.network, x, [importance_samples], BATCH_SIZE, seed, self.device
        )
        return bounds[importance_samples]

    @torch.no_grad()
    def reconstruct(self, images: Tensor | np.ndarray, seed: int = 0) -> Tensor:
        """Reconstructions of images: VAE g_mu(E[z|y]), VAEGlow f^-1(g_mu(E[z|y])), Glow the image itself.

        Args:
            images: uint8 [N, C, H, W], as are the results.
            seed: of the dequantisation noise.
        """
        batches = likelihood.dequantised_batches(
            self.network, self.check(images), BATCH_SIZE, seed, likelihood.EVALUATION, self.device
        )
        return torch.cat([quantise(self.network.reconstruct(y), self.network.levels).cpu() for _, y, _ in batches])

    def interpolate(self, pairs: int, steps: int, seed: int = 0, space: str = "prior") -> Tensor:
        """Images between random latents (paper, figure 5), as the rule `interpolate` makes them.

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

    def check(self, images: Tensor | np.ndarray) -> Tensor:
        """The images as a uint8 tensor; UserError where they are not what the model was trained on."""
        x = torch.as_tensor(np.array(images) if isinstance(images, np.ndarray) else images)
        if x.dtype != torch.uint8:
            raise UserError(f"images must be uint8, not {x.dtype}: give pixel values 0..{self.network.levels - 1}")
        if x.ndim != 4 or tuple(x.shape[1:]) != self.network.shape or not len(x):
            expected = ", ".join(str(n) for n in self.network.shape)
            raise UserError(f"images must have shape [N, {expected}], not {list(x.shape)}")
        if int(x.max()) >= self.network.levels:
            raise UserError(f"pixel value {int(x.max())} is out of range: the model knows {self.network.levels} levels")
        return x
