"""The interface of every model: the density of an image, samples, the training loss; and `build` makes one."""

import importlib
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from vaeglow.config import with_neutral
from vaeglow.config.registry import kinds_of
from vaeglow.errors import UserError
from vaeglow.models.bounds import Terms, bits_per_dim, total
from vaeglow.models.kinds import Config
from vaeglow.noise import Generator


class GenerativeModel(Module):
    """A density of dequantised images y in [0, 1)^(C x H x W), to train, evaluate and sample.

    Args:
        channels: C.
        size: H = W.
        levels: number of values a pixel can take.
    """

    bound = "<="  # bits/dim from log_likelihood are an upper bound; "=": they are exact; "": there is no likelihood
    estimated = False  # True: log_likelihood is itself an estimate, whose bits/dim are without bias at K = 1 only
    dequantisation: str | None = "uniform"  # noise of log_likelihood; None: it is of the discrete images
    keeps_inputs = False  # True: training computes the `inputs` of an image once; False: at each step

    def __init__(self, channels: int, size: int, levels: int) -> None:
        super().__init__()
        self.channels = channels
        self.size = size
        self.levels = levels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.size, self.size

    @property
    def dims(self) -> int:
        """D = C H W."""
        return self.channels * self.size**2

    @property
    def parameter_count(self) -> int:
        """How many numbers its parameters hold."""
        return sum(parameter.numel() for parameter in self.parameters())

    def log_likelihood(self, y: Tensor, generator: Generator = None) -> Terms:
        """The terms of log p(y), or of a one-sample lower bound on it: name -> nats per image [N].

        Args:
            y: dequantised images [N, C, H, W].
            generator: source of the latent's noise.
        """
        raise NotImplementedError

    def log_weights(self, y: Tensor, latents: int, generator: Generator = None) -> Tensor:
        """Log importance weights of `latents` draws for each image: [N, latents] nats.

        Their log-mean-exp is a lower bound on log p(y) that gets tighter with more draws. By default, for a model
        without a latent, each column is its exact log p(y).
        """
        return total(self.log_likelihood(y, generator))[:, None].expand(-1, latents)

    def sample(self, count: int, temperature: float, generator: Generator = None) -> Tensor:
        """`count` images [count, C, H, W], continuous, to be quantised.

        `temperature` scales the decoder's noise, or all noise of a Glow or Residual Flow.
        """
        raise NotImplementedError

    def reconstruct(self, y: Tensor) -> Tensor:
        """Images y encoded and decoded again, without noise: [N, C, H, W]. By default there is no latent: UserError."""
        raise UserError(f"a {type(self).__name__} has no latent to reconstruct images from")

    def initialise(self, y: Tensor) -> None:
        """Set data-dependent parameters from the first images; does nothing by default."""

    def trainable(self) -> Iterable[Parameter]:
        """The parameters that training updates."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def inputs(self, y: Tensor, generator: Generator = None) -> Tensor:
        """The input of `loss`: by default the dequantised images y [N, C, H, W] themselves."""
        return y

    def training_terms(self, inputs: Tensor, generator: Generator = None) -> Terms:
        """The terms of `log_likelihood` that `loss` sums, from the images' `inputs`."""
        return self.log_likelihood(inputs, generator)

    def loss(self, inputs: Tensor, generator: Generator = None, kl_weight: float = 1.0) -> tuple[Tensor, Terms]:
        """The training objective, and the terms of the bound.

        Args:
            inputs: of the batch, see `GenerativeModel.inputs`.
            generator: source of the latent's noise.
            kl_weight: of the KL term (paper, section 3.4); only with 1 is the loss a bound.

        Returns:
            The batch's bits/dim, its KL term times `kl_weight` (a scalar); the terms' means without that weight, in
            nats per image.
        """
        terms = self.training_terms(inputs, generator)
        means = {name: term.detach().mean() for name, term in terms.items()}
        if kl_weight != 1:
            terms |= {"negative_kl": kl_weight * terms["negative_kl"]}
        return bits_per_dim(total(terms), self.dims, self.levels).mean(), means


def build(config: Config) -> GenerativeModel:
    """The untrained model of a resolved config (`vaeglow.config.resolve`), its weights a function of the seed in it."""
    module = importlib.import_module("vaeglow.models." + kinds_of("models")[config["kind"]].__name__)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config["seed"])
        return module.build(with_neutral(config))


def image_shape(config: Config) -> dict[str, int]:
    """Channels, size and levels of the images of a resolved config: arguments of every model."""
    return {key: config["data"][key] for key in ("channels", "size", "levels")}
