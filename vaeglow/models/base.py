"""What every generative model here can do, whatever it is made of."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vaeglow.models import bounds


class GenerativeModel(nn.Module):
    """A density of dequantised images y in [0, 1)^(C x H x W), to train, evaluate and sample.

    Args:
        channels: C.
        size: H = W.
        levels: number of values a pixel can take.
    """

    bound = "<="  # "=": log_likelihood gives log p(y) itself, "<=": bits/dim from it are an upper bound

    def __init__(self, channels: int, size: int, levels: int) -> None:
        super().__init__()
        self.channels, self.size, self.levels = channels, size, levels

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.size, self.size

    @property
    def dims(self) -> int:
        """D = C H W."""
        return self.channels * self.size**2

    def log_likelihood(self, y: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The terms of log p(y), or of a one-sample lower bound on it: name -> nats per image [N].

        Args:
            y: dequantised images [N, C, H, W].
            generator: source of the latent's noise.
        """
        raise NotImplementedError

    def log_weights(self, y: Tensor, latents: int, generator: torch.Generator | None = None) -> Tensor:
        """Log importance weights of `latents` draws for each image: [N, latents] nats.

        Their log-mean-exp is a lower bound on log p(y) that rises with the number of draws. A model without
        a latent returns its exact log p(y), the same in each column.
        """
        raise NotImplementedError

    def sample(self, count: int, temperature: float, generator: torch.Generator | None = None) -> Tensor:
        """`count` images [count, C, H, W], continuous, to be quantised; `temperature` scales the pixel noise."""
        raise NotImplementedError

    def reconstruct(self, y: Tensor) -> Tensor:
        """What the model keeps of images y: [N, C, H, W]."""
        raise NotImplementedError

    def initialise(self, y: Tensor) -> None:
        """Set data-dependent values from the first images; nothing by default."""

    def trainable(self) -> Iterable[nn.Parameter]:
        """The parameters this phase of training moves."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def loss(self, y: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The batch's bits/dim (a scalar to minimise) and its terms' means, in nats per image."""
        terms = self.log_likelihood(y, generator)
        loss = bounds.bits_per_dim(bounds.total(terms), self.dims, self.levels).mean()
        return loss, {name: term.detach().mean() for name, term in terms.items()}
