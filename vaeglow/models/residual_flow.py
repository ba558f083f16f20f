"""The Residual Flow (Chen, Behrmann, Duvenaud & Jacobsen 2019), a baseline that Table 2 cites.

x -> x + g(x) is invertible where g's Lipschitz constant is below 1 (their section 2), and

    log|det(I + J)| = sum_k (-1)^(k+1) / k tr(J^k),    tr(J^k) = E_v[v^T J^k v],

without bias by a random number of terms, the k-th over its probability (section 3.1, eq. 6); its gradient by a Neumann
series, so that memory does not grow with the terms (section 3.2, eq. 8). What differs from the source: there are no
dense layers at the end; spectral norms take a fixed number of power iterations; training reports the log-determinant
itself, from the products that its gradient needs.
"""

import math
import random

import torch
from torch import Tensor, autograd
from torch.nn import Conv2d, Module, ModuleList, Parameter, Sequential
from torch.nn.functional import (
    conv2d,
    conv_transpose2d,
    logsigmoid,
    normalize,
    pixel_shuffle,
    pixel_unshuffle,
    silu,
    softplus,
)

from vaeglow.models.base import GenerativeModel, Terms, image_shape
from vaeglow.models.bounds import Pair, standard_normal_log_density
from vaeglow.models.flows import ActNorm, Transformed, standardise
from vaeglow.models.kinds import Config
from vaeglow.noise import Generator, normal_like

LIPSCHITZ = 0.98  # of each convolution, as in the source
# Terms of the series, in training and in evaluation; then comes one more, and each further one with probability 1/2.
EXACT_TERMS = {True: 2, False: 8}
STEP_ITERATIONS = 2  # of a spectral norm's power method at a training step
START_ITERATIONS = 50  # the same at the start
MARGIN = 0.05  # pixels are squeezed into (.05, .95) before the logit, as in the source
TOLERANCE = 1e-5  # of the fixed point that inverts a block; relative where values exceed 1
MOST_ITERATIONS = 500  # of the same


class LipSwish(Module):
    """x sigmoid(b x) / 1.1, b = softplus(raw), of Lipschitz constant below 1 (section 3.3)."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        b = softplus(self.raw)
        return silu(b * x) / (1.1 * b)


class LipschitzConv(Conv2d):
    """A convolution whose norm, as an operator on images, is kept near or below `LIPSCHITZ` (section 2).

    The norm is estimated, from below, by |W v| at v, u = W v / |W v| that power iterations keep; u is as large as an
    image. The source iterates to a tolerance, not a fixed number of times.

    Args:
        inputs, outputs: channels.
        k: side of the kernel, odd.
        side: of the images.
    """

    def __init__(self, inputs: int, outputs: int, k: int, side: int) -> None:
        super().__init__(inputs, outputs, k, padding=k // 2)
        self.register_buffer("u", normalize(torch.randn(1, outputs, side, side), dim=(1, 2, 3)))

    @torch.no_grad
    def iterate(self, count: int) -> None:
        """Power iterations."""
        for _ in range(count):
            self.u.copy_(normalize(conv2d(self.back(), self.weight, padding=self.padding), dim=(1, 2, 3)))

    def back(self) -> Tensor:
        """v = W^T u / |W^T u|."""
        return normalize(conv_transpose2d(self.u, self.weight, padding=self.padding), dim=(1, 2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, side, side] -> [N, outputs, side, side]."""
        if self.training:
            self.iterate(STEP_ITERATIONS)
        with torch.no_grad():
            u = self.u.clone()
            v = self.back()
        norm = (u * conv2d(v, self.weight, padding=self.padding)).sum()
        return conv2d(x, self.weight / (norm / LIPSCHITZ).clamp(min=1), self.bias, padding=self.padding)


class ResidualBlock(Module):
    """[squeeze], actnorm, x -> x + g(x); g = conv3x3, conv1x1, conv3x3, LipSwish before all but the model's first.

    Args:
        channels: C, after the squeeze.
        width: hidden channels.
        side: of the images, after the squeeze.
        squeeze: whether it has one.
        first: of the model.
    """

    def __init__(self, channels: int, width: int, side: int, squeeze: bool, first: bool) -> None:
        super().__init__()
        self.squeeze = squeeze
        self.actnorm = ActNorm(channels)
        self.g = Sequential()
        for inputs, outputs, k in ((channels, width, 3), (width, width, 1), (width, channels, 3)):
            self.g.extend([LipSwish(), LipschitzConv(inputs, outputs, k, side)])
        if first:
            del self.g[0]

    def enter(self, x: Tensor) -> Tensor:
        """Squeeze and actnorm, (x + b) s, the input of g."""
        if self.squeeze:
            x = pixel_unshuffle(x, 2)
        return (x + self.actnorm.bias[:, None, None]) * self.actnorm.log_scale().exp()[:, None, None]

    def forward(self, x: Tensor, terms: int, generator: Generator) -> Transformed:
        """x [N, C, H, W] -> (y, an estimate without bias of log|det dy/dx|, [N] nats).

        Args:
            x: images.
            terms: of the series, more than `EXACT_TERMS`.
            generator: of v.
        """
        learns = torch.is_grad_enabled()
        with torch.enable_grad():
            x = self.enter(x).requires_grad_()
            g = self.g(x)
            v = normal_like(x, generator)
            product = v  # v^T J^k
            neumann = v  # v^T sum_k (-J)^k, each term over its probability
            log_det = x[0, 0].numel() * self.actnorm.log_scale().sum()
            for k in range(1, terms + 1):
                (product,) = autograd.grad(g, x, product, retain_graph=True)
                weight = (-1) ** k * 2.0 ** max(0, k - EXACT_TERMS[self.training] - 1)
                log_det = log_det - weight / k * (product * v).flatten(1).sum(1)
                neumann = neumann + weight * product
            if learns:
                slope = self.slope(x, g, v, neumann)
                log_det = log_det + slope - slope.detach()
        y = x + g
        return (y, log_det) if learns else (y.detach(), log_det.detach())

    def slope(self, x: Tensor, g: Tensor, v: Tensor, neumann: Tensor) -> Tensor:
        """A number for each image, [N], whose mean has the gradient of the mean log-determinant (eq. 8).

        The gradient is taken at once, as second derivatives take most of the memory.
        """
        (jacobian,) = autograd.grad(g, x, neumann, create_graph=True)
        parameters = list(self.g.parameters())
        of_x, *of_parameters = autograd.grad(
            (jacobian * v).sum(), [x, *parameters], retain_graph=True, materialize_grads=True
        )
        shared = sum((parameter * slope).sum() for parameter, slope in zip(parameters, of_parameters, strict=True))
        return (x * of_x).flatten(1).sum(1) + shared / len(x)

    def inverse(self, y: Tensor) -> Pair:
        """The x of y by x <- y - g(x) (algorithm 1 of Behrmann et al. 2019), and whether it failed to converge, [N]."""
        x = y
        tolerance = TOLERANCE * y.abs().flatten(1).amax(1).clamp(min=1)
        for _ in range(MOST_ITERATIONS):
            before = x
            x = y - self.g(x)
            failed = ~((x - before).abs().flatten(1).amax(1) <= tolerance)  # NaN fails, too
            if not failed.any():
                break
        x = x * (-self.actnorm.log_scale()).exp()[:, None, None] - self.actnorm.bias[:, None, None]
        return pixel_shuffle(x, 2) if self.squeeze else x, failed


class ResidualFlow(GenerativeModel):
    """The logit of the pixels, then scales of residual blocks, a squeeze between two scales.

    log p(y) is estimated without bias, so mean bits/dim are, too (section 3.1). Their standard error includes the
    estimator's, except that images of a batch share the number of terms, drawn once for all blocks; the source draws it
    for each block. The source ends in dense layers; this has none.
    The base density is N(0, I), of all dimensions; nothing leaves between scales.

    Args:
        channels: C.
        size: image side, divisible by 2^(scales - 1).
        levels: number of values a pixel can take.
        scales: how many ("levels" in the config).
        depth: blocks at each.
        width: hidden channels of each block.
    """

    bound = "="
    estimated = True

    def __init__(self, channels: int, size: int, levels: int, scales: int, depth: int, width: int) -> None:
        super().__init__(channels, size, levels)
        self.blocks = ModuleList()
        for number in range(scales * depth):
            squeeze = number > 0 and number % depth == 0
            if squeeze:
                channels *= 4
                size //= 2
            self.blocks.append(ResidualBlock(channels, width, size, squeeze, first=number == 0))
        self.top = (channels, size, size)

    def logit(self, y: Tensor) -> Tensor:
        """The logit of .05 + .9 y, as in the source."""
        return (MARGIN + (1 - 2 * MARGIN) * y).logit()

    def log_likelihood(self, y: Tensor, generator: Generator = None) -> Terms:
        """See `GenerativeModel`; an estimate, from a random number of terms and random v."""
        seed = generator and generator.initial_seed()  # drawn on the CPU: no copy from a GPU
        extra = 1 + int(-math.log2(1 - random.Random(seed).random()))  # geometric: P(extra > k) = 2^-k
        x = self.logit(y)
        log_det = (math.log(1 - 2 * MARGIN) - logsigmoid(x) - logsigmoid(-x)).flatten(1).sum(1)
        for block in self.blocks:
            x, change = block(x, EXACT_TERMS[self.training] + extra, generator)
            log_det = log_det + change
        return {"log_det": log_det, "prior": standard_normal_log_density(x)}

    def encode(self, y: Tensor) -> Tensor:
        """Images y [N, C, H, W] to noise [N, C', H', W']."""
        x = self.logit(y)
        for block in self.blocks:
            x = block.enter(x)
            x = x + block.g(x)
        return x

    def decode(self, noise: Tensor) -> Tensor:
        """The inverse of `encode`; an image for which a block's fixed point did not converge has a NaN."""
        x = noise
        failed = noise.new_zeros(len(noise), dtype=torch.bool)
        for block in reversed(self.blocks):
            x, block_failed = block.inverse(x)
            failed |= block_failed
        y = (x.sigmoid() - MARGIN) / (1 - 2 * MARGIN)
        y[failed, 0, 0, 0] = math.nan  # the caller counts these images
        return y

    def sample(self, count: int, temperature: float, generator: Generator = None) -> Tensor:
        """See `GenerativeModel`; the temperature multiplies all noise."""
        return self.decode(temperature * normal_like(next(self.parameters()).new_empty(count, *self.top), generator))

    def reconstruct(self, y: Tensor) -> Tensor:
        """f^-1(f(y)): the images themselves, up to rounding."""
        return self.decode(self.encode(y))

    @torch.no_grad
    def initialise(self, y: Tensor) -> None:
        """Set the spectral norms, and from images y [N, C, H, W] all actnorms, block by block, unless they are set."""
        x = self.logit(y)
        for block in self.blocks:
            if not block.actnorm.initialised:
                for conv in block.g[::-2]:  # between the activations
                    conv.iterate(START_ITERATIONS)
            standardise(block.actnorm, pixel_unshuffle(x, 2) if block.squeeze else x)
            x = block.enter(x)
            x = x + block.g(x)


def build(config: Config) -> ResidualFlow:
    """The untrained Residual Flow of a resolved config."""
    network = dict(config["network"])
    return ResidualFlow(**image_shape(config), scales=network.pop("levels"), **network)
