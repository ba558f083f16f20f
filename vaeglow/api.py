"""A trained model, by `vaeglow.load(name or path)` or `vaeglow.train(images)`, and what it can do.

import vaeglow
model = vaeglow.load("cifar10_jpeg/vaeglow")  # or a run's model.safetensors
images = model.sample(16, temperature=0.5, seed=0)
"""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from warnings import warn

import numpy as np
import torch
from torch import Tensor

from vaeglow.config import merge, phases, resolve
from vaeglow.config.check import check_config, present_config
from vaeglow.data import moments, value_counts, write_dataset
from vaeglow.data.loader import EVALUATION
from vaeglow.device import pick_device
from vaeglow.errors import Interrupted, UserError
from vaeglow.evaluation import trained
from vaeglow.evaluation.likelihood import dequantised_batches, importance_bits_per_dim
from vaeglow.evaluation.probes.interpolation import interpolate
from vaeglow.files import Facts, write_json
from vaeglow.images import as_array, finite_numbers
from vaeglow.models.bounds import Gaussian, quantise
from vaeglow.paths import identity, result_path, shipped
from vaeglow.released import locate
from vaeglow.steps import train as training_step
from vaeglow.weights import KEY, load_model, write_tensors


def train(
    images: Any,
    model: str = "vaeglow",
    preset: str = "demo",
    seed: int = 0,
    folder: str | Path = "",
    device: str = "auto",
    **overrides: Any,
) -> "Model":
    """Train a model in this process as the workflow does, its base first.

    The config is that of the package, or of the working folder after `vaeglow init`.

    Args:
        images: uint8 [N, C, size, size], C 1 or 3, N at least 2, a tensor or an array, or a list of PIL images; all
            train.
        model: its name in the config.
        preset: its name in the config: how large the networks are, how long they train.
        seed: of weights, order and noise.
        folder: for data, weights and resume state; the same call resumes from it. By default a temporary one.
        device: `auto`, `cpu` or `cuda`.
        **overrides: changes to the config, as its key `overrides` takes them: `training={"epochs": 5}` for all phases.

    Returns:
        The trained model; `Model.save` keeps it.

    Raises:
        UserError: images or overrides that do not fit; no such model, preset or GPU; a loss that is not finite.
        Interrupted: a signal stopped it; with a folder the same call goes on.
    """
    if Path(folder).is_file():
        raise UserError(f"{folder} is a file: name a folder for data, weights and resume state")
    x = as_array(images)
    if len(x) < 2 or x.shape[2] != x.shape[3]:
        raise UserError(f"to train, two or more square images are needed, not {list(x.shape)}")
    data = {"kind": "npz", "file": "in memory", "channels": x.shape[1], "size": x.shape[2], "levels": 256}
    config = merge(present_config(), {"preset": preset, "overrides": overrides})
    config["datasets"]["images"] = data
    check_config(config, shipped("workflow/schemas/config.schema.yaml"), shipped("resources/published.csv"))
    runs = phases(resolve(config, preset, "images", model, int(seed)))
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
        except Interrupted:
            if folder:
                raise
            raise Interrupted("nothing is kept: with a folder of your own the same command resumes") from None
        finally:
            torch.set_num_threads(threads)  # a run has a number of its own
        return Model(files["model"], device)


def warned(images: Tensor, overflowed: int) -> Tensor:
    """The images of a `Model`'s method, with a warning where some overflowed."""
    if overflowed:
        warn(f"{overflowed} of {len(images)} samples overflowed and were clipped", stacklevel=3)
    return images


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
        """Load a model to `auto`, `cpu` or `cuda`.

        Args:
            path: a `model.safetensors`, or a name that `vaeglow models` lists.
            device: where it computes.

        Raises:
            UserError: no such file or name; a damaged or another file; no network to fetch it.
        """
        self.device = pick_device(device)
        self.network, self.about = load_model(locate(path), self.device)
        self.config: Facts = self.about["config"]

    @property
    def epochs(self) -> str:
        """The epochs of its phases, its base's first: `2+2`."""
        return "+".join(str(run["training"]["epochs"]) for run in phases(self.config))

    def __repr__(self) -> str:
        """The names of its run, the epochs of its phases, its size and that of its images, in one line."""
        size = f"{self.network.parameter_count:,} parameters"
        names = ", ".join(f"{key} {value}" for key, value in identity(self.config).items())
        shape = "x".join(map(str, self.network.shape))
        return f"<vaeglow.Model: {names}, {self.epochs} epochs, {size}, images {shape}>"

    def save(self, path: str | Path) -> None:
        """Write the model to a file, which it replaces. Name it `.safetensors`: the commands take no other.

        Raises:
            UserError: no room or no permission to write there.
        """
        write_tensors(path, self.network.state_dict(), KEY, self.about)

    def sample(self, count: int, temperature: float = 1.0, seed: int = 0) -> Tensor:
        """Draw images.

        Args:
            count: how many.
            temperature: scales the decoder's noise (VAE, VAEGlow; 0 is the decoder mean) or all noise (Glow, Residual
                Flow). 1 samples from the trained model itself; PixelCNN and PixelIQN take 1 only.
            seed: of all noise.

        Returns:
            uint8 [count, C, H, W]. Images that overflowed (`vaeglow.evaluation.trained.sample`) give a warning,
            as they do in `decode` and `sharpen`.

        Raises:
            UserError: count below 1, a temperature below 0 or not finite, or one that the model does not have.
        """
        return warned(*trained.sample(self.network, count, temperature, seed, self.device))

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
        batches = self.dequantised(images, seed)
        return torch.cat([quantise(self.network.reconstruct(y), self.network.levels).cpu() for y in batches])

    @torch.no_grad()
    def encode(self, images: Any, seed: int = 0) -> tuple[Tensor, Tensor]:
        """The Gaussian q(z|y) of images: its mean and its standard deviation, each float32 [N, d].

        Args:
            images: uint8 [N, C, H, W].
            seed: of the dequantisation noise, as in `reconstruct`.

        Raises:
            UserError: the model has no VAE latent (Glow), or two (a two-stage VAE).
        """
        vae, _ = trained.vae_and_layer(self.network, self.config, "encode")
        posteriors = [vae.encode(y) for y in self.dequantised(images, seed)]
        mean, log_sd = map(torch.cat, zip(*posteriors, strict=True))
        return mean.cpu(), log_sd.exp().cpu()

    def decode(self, z: Any, temperature: float = 1.0, seed: int = 0) -> Tensor:
        """Images of latents: VAE g(z), VAEGlow f^-1(g(z)), both with the decoder's noise.

        Args:
            z: numbers [N, d], a tensor or an array.
            temperature: scales the noise; 0 is none, as in `reconstruct`.
            seed: of the noise.

        Returns:
            uint8 [N, C, H, W].

        Raises:
            UserError: z of another shape or not finite; see also `encode` and `sample`.
        """
        vae, layer = trained.vae_and_layer(self.network, self.config, "decode")
        latents = finite_numbers(z, "latents", vae.prior.dims)
        how = (self.network.levels, temperature, seed, self.device)
        return warned(*trained.images_from(latents, self.network.decode, layer, *how))

    def sharpen(self, images: Any, temperature: float = 1.0, seed: int = 0) -> Tensor:
        """Images x = f^-1(images + noise): the Glow layer on images that stand for the mean of the VAE's decoder.

        Args:
            images: uint8 [N, C, H, W], whose values stand for the middle of their level, or floats from 0 to 1.
            temperature: scales the noise, which is the decoder's for the latent E[z|images]; 0 is none.
            seed: of the noise.

        Returns:
            uint8 [N, C, H, W].

        Raises:
            UserError: the model has no Glow layer; images of another shape or range; see also `sample`.
        """
        if self.config["kind"] != "vae_glow":
            raise UserError(
                f"{self.config['model']} is a {self.config['kind']}: sharpen needs a vae_glow, with a layer"
            )
        network = self.network
        if "float" in str(getattr(images, "dtype", "")):
            means = finite_numbers(images, "images", *network.shape)
            if means.min() < 0 or means.max() > 1:
                raise UserError("images as floats must lie in [0, 1]: divide them by the levels, or give uint8")
        else:
            means = (self.check(images) + 0.5) / network.levels

        def gaussian(y: Tensor) -> Gaussian:
            return y, network.decode(network.vae.encode(y)[0])[1]

        how = (network.levels, temperature, seed, self.device)
        return warned(*trained.images_from(means, gaussian, network.layer, *how))

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

    def dequantised(self, images: Any, seed: int) -> Iterator[Tensor]:
        """Images as the model sees them, (x + u) / levels, batch by batch: [B, C, H, W] on its device."""
        how = (trained.BATCH_SIZE, seed, EVALUATION, self.device)
        return (y for _, y, _ in dequantised_batches(self.network, self.check(images), *how))

    def check(self, images: Any) -> Tensor:
        """The images as a uint8 tensor; UserError where they are not what the model was trained on."""
        x = torch.from_numpy(np.array(as_array(images)))
        if tuple(x.shape[1:]) != self.network.shape:
            expected = ", ".join(map(str, self.network.shape))
            raise UserError(f"images must have shape [N, {expected}], not {list(x.shape)}")
        if int(x.max()) >= self.network.levels:
            raise UserError(f"pixel value {int(x.max())} is out of range: the model knows {self.network.levels} levels")
        return x
