"""The Glow layer f on top of the VAE (section 3.3, eq. 4)."""

import torch
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn.functional import conv2d, pixel_shuffle, pixel_unshuffle

from vaeglow.models.flows import Coupling, Transformed
from vaeglow.models.glow_steps import GlowStep, GlowSteps


class GlowLayer(Module):
    """The layer f: x_hat -> x_bar (section 3.3): `depth` Glow steps at one scale without split.

    x_hat is a dequantised image, elsewhere in the package y.

    It starts as the identity only after `initialise(x)`, which sets a closing 1x1 convolution with bias to the inverse
    of all actnorms and 1x1s before it: phase 2 starts at phase 1's likelihood. The paper's couplings are additive: then
    log|det df/dx| is a constant, that of the 1x1s and actnorms.

    With more than one scale (docs/beyond.md) half of the channels leave after each but the last, as in Glow: a coupling
    changes them given the other half, which goes on through the `rest`, a layer of one scale less.

    Args:
        channels: C of the images.
        depth: number of steps at each scale (32 in the paper).
        width: hidden channels of each coupling net.
        squeeze: q of the space-to-depth, which must divide H and W: 1 for the paper's text as written ("no
            squeeze"), 2 or 4 otherwise (docs/open-choices.md says why).
        affine_steps: how many of each scale's steps, the last ones, have affine couplings (`bounded`); 0 in the paper.
        scales: 1 in the paper; each further one ("level" in the config) squeezes by 2 and must halve the side.
    """

    def __init__(self, channels: int, depth: int, width: int, squeeze: int, affine_steps: int, scales: int) -> None:
        super().__init__()
        mixed = channels * squeeze**2
        self.squeeze = squeeze
        kinds = ["additive"] * (depth - affine_steps) + ["bounded"] * min(affine_steps, depth)
        self.steps = GlowSteps(GlowStep(mixed, width, kind) for kind in kinds)
        self.closing_weight = Parameter(torch.eye(mixed))
        self.closing_bias = Parameter(torch.zeros(mixed))
        self.split = self.rest = None
        if scales > 1:
            self.split = Coupling(mixed, width, "bounded")
            self.rest = GlowLayer(mixed // 2, depth, width, 2, affine_steps, scales - 1)

    def forward(self, x: Tensor) -> Transformed:
        """f: images x_hat [N, C, H, W] -> (x_bar, log|det df/dx_hat|: [N], or a scalar if constant) (paper, eq. 4)."""
        x = pixel_unshuffle(x, self.squeeze)  # [N, C q^2, H/q, W/q]
        closing = torch.linalg.slogdet(self.closing_weight.double()).logabsdet
        log_det = self.steps.channel_log_det(x) + x[0, 0].numel() * closing.to(x.dtype)
        x, log_dets = self.steps(x)
        x = conv2d(x, self.closing_weight[..., None, None], self.closing_bias)
        if self.split:
            x, split_log_det = self.split(x)
            kept, leaving = x.split(self.split.sizes, 1)
            kept, rest_log_det = self.rest(kept)
            x = torch.cat([kept, leaving], 1)
            log_dets += [split_log_det, rest_log_det]
        return pixel_shuffle(x, self.squeeze), sum(log_dets, log_det)

    def inverse(self, y: Tensor) -> Tensor:
        """f^-1: x_bar -> x_hat; the matrices' inverses are taken in float64."""
        y = pixel_unshuffle(y, self.squeeze)
        if self.split:
            kept, leaving = y.split(self.split.sizes, 1)
            y = self.split.inverse(torch.cat([self.rest.inverse(kept), leaving], 1))
        y = conv2d(
            y - self.closing_bias[:, None, None],
            torch.linalg.inv(self.closing_weight.double()).to(y.dtype)[..., None, None],
        )
        return pixel_shuffle(self.steps.inverse(y), self.squeeze)

    @torch.no_grad
    def initialise(self, x: Tensor) -> None:
        """Set the actnorms from x [N, C, H, W], then close each scale to the identity, composed in float64.

        A layer whose actnorms are already set is left as it is.
        """
        if all(step.actnorm.initialised for step in self.steps):
            return
        x = pixel_unshuffle(x, self.squeeze)
        self.steps.initialise(x)
        matrix = torch.eye(len(self.closing_bias), dtype=torch.float64, device=x.device)
        offset = torch.zeros_like(matrix[0])
        for step in self.steps:
            step_matrix = step.conv.weight.double() * step.actnorm.log_scale().double().exp()
            offset = step_matrix @ (offset + step.actnorm.bias.double())
            matrix = step_matrix @ matrix
        self.closing_weight.copy_(torch.linalg.inv(matrix))
        self.closing_bias.copy_(-torch.linalg.solve(matrix, offset))
        if self.split:
            self.split.initialise(x)
            self.rest.initialise(x[:, : self.split.sizes[0]])
