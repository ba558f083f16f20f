"""A trained run, opened to be measured: its network, what its results record, and its samples (section 3.5)."""

from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaeglow.data.arrays import open_split, read_info
from vaeglow.data.loader import DECODING, SAMPLING, Device, step_generator
from vaeglow.device import pick_device, set_threads
from vaeglow.errors import UserError
from vaeglow.files import Facts, sha256_json
from vaeglow.models.base import GenerativeModel
from vaeglow.models.bounds import Gaussian, gaussian_sample, quantise
from vaeglow.models.glow_layer import GlowLayer
from vaeglow.models.kinds import Config
from vaeglow.models.vae import VAE, FlowPrior
from vaeglow.paths import identity
from vaeglow.progress import counted
from vaeglow.results import collect
from vaeglow.weights import load_model

Layer = GlowLayer | FlowPrior
BATCH_SIZE = 100  # images at a time; what noise an image gets depends on it, so it is not an option


def started(device: str, threads: int) -> tuple[torch.device, Facts]:
    """What a step begins with: the device it computes on (`pick_device`), and the provenance of this process."""
    set_threads(threads)
    on = pick_device(device)
    return on, collect(str(on))


class TrainedRun:
    """A run's model, loaded from its `model.safetensors`; torch's threads are set to the run's.

    Attributes:
        network: the model, in evaluation mode.
        about: the file's metadata.
        config: the resolved config it was trained under.
        seed: of training, and of all noise in its evaluation.
        provenance: of this process.

    Raises:
        UserError: no such file or device (`auto`, `cpu` or `cuda`).
    """

    def __init__(self, path: str | Path, device: str) -> None:
        self.path = Path(path)
        self.device = pick_device(device)
        self.provenance = collect(str(self.device))
        self.network, self.about = load_model(path, self.device)
        self.config = self.about["config"]
        self.seed = self.config["seed"]
        set_threads(self.config["training"]["threads"])

    @property
    def identity(self) -> Facts:
        """What every result of the run records: names and hashes."""
        return {
            **identity(self.config),
            "config_sha256": sha256_json(self.config),
            "data_sha256": sha256_json(self.about["data"]["sha256"]),
            "weights_sha256": self.about["weights_sha256"],
        }

    def images(self, path: Path) -> np.ndarray:
        """A split of the run's data, `DATA_DIR/{split}.npy`: uint8 [N, C, H, W]; other data are a UserError.

        Of `train` those that the run was trained on (`train_subset`).
        """
        if read_info(path.parent)["sha256"] != self.about["data"]["sha256"]:
            raise UserError(f"{self.path} was trained on other data than {path.parent} holds: train it again")
        images = open_split(path.parent, path.stem)
        return images[: self.config["data"]["train_subset"]] if path.stem == "train" else images


def vae_and_layer(network: GenerativeModel, config: Config, purpose: str) -> tuple[VAE, Layer]:
    """The VAE in a model, and the Glow layer above it, or a flow that is the identity; `purpose` is for the message.

    Raises:
        UserError: a model of another kind: Glow has no VAE, a second-stage VAE has two latents.
    """
    if config["kind"] == "vae_glow":
        return network.vae, network.layer
    if config["kind"] == "vae":
        return network, FlowPrior(0, 0, 0)
    raise UserError(
        f"{config['model']} is a {config['kind']}: {purpose} needs a model with one VAE latent, a vae or a vae_glow"
    )


@torch.no_grad
def sample(model: GenerativeModel, count: int, temperature: float, seed: int, device: Device) -> tuple[Tensor, int]:
    """Images from a model. The first n do not depend on their number.

    Inverting an affine Glow divides by scales that can come close to 0 (a known failure, Behrmann et al. 2021). An
    image with a value that is not finite is clipped, kept, counted and reported.

    The temperature scales the decoder's noise (a latent prior stays at 1), or all noise of a Glow or Residual Flow.

    Returns:
        uint8 [count, C, H, W] on the CPU, and how many of them overflowed.

    Raises:
        UserError: a count below 1, or a temperature below 0 or not finite.
    """
    if not isinstance(count, Integral) or count < 1:
        raise UserError(f"{count} samples are requested: request a whole number, 1 or more")
    check_temperature(temperature)
    images = torch.empty(count, *model.shape, dtype=torch.uint8)
    overflowed = 0
    for index, batch in enumerate(counted(images.split(BATCH_SIZE), "samples")):  # all are drawn whole, the last is cut
        drawn = model.sample(BATCH_SIZE, temperature, step_generator(seed, SAMPLING, index, device))[: len(batch)]
        batch.copy_(quantise(drawn, model.levels))
        overflowed += count_overflowed(drawn)
    return images, overflowed


def count_overflowed(images: Tensor) -> int:
    """How many images [B, ...] have a value that is not finite."""
    return int((~images.isfinite().flatten(1).all(1)).sum())


def check_temperature(temperature: float) -> None:
    """Refuse (UserError) what is not a finite number from 0 up."""
    if not isinstance(temperature, Real) or not 0 <= temperature < float("inf"):
        raise UserError(f"temperature {temperature!r} is not a number from 0 up")


@torch.no_grad
def images_from(
    inputs: Tensor,
    gaussian: Callable[[Tensor], Gaussian],
    layer: Layer,
    levels: int,
    temperature: float,
    seed: int,
    device: Device,
) -> tuple[Tensor, int]:
    """Images x = f^-1(x_bar), x_bar drawn at `temperature` from the Gaussian of each input (section 3.5).

    Args:
        inputs: [N, ...], split into batches.
        gaussian: from a batch of them to mean and log standard deviation of x_bar, each [B, C, H, W].
        layer: f.
        levels: of a pixel.
        temperature: scales the noise; 0 is the mean.
        seed: of the noise.
        device: where to compute.

    Returns:
        uint8 [N, C, H, W] on the CPU, and how many of them overflowed, as in `sample`.
    """
    check_temperature(temperature)
    images = []
    overflowed = 0
    for index, batch in enumerate(inputs.split(BATCH_SIZE)):
        generator = step_generator(seed, DECODING, index, device)
        x_bar = gaussian_sample(*gaussian(batch.to(device)), generator, temperature)
        x = layer.inverse(x_bar)
        images.append(quantise(x, levels).cpu())
        overflowed += count_overflowed(x)
    return torch.cat(images), overflowed
