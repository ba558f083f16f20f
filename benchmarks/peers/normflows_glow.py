"""The Glow of the package normflows (Stimper et al. 2023), built as its own example of a multiscale Glow builds it."""

from __future__ import annotations

from typing import Any


def build(levels: int, depth: int, width: int, channels: int, size: int) -> Any:
    """`normflows.MultiscaleFlow` of affine Glow blocks, its options left at their defaults.

    Its networks have no actnorms inside (an option, off by default) and its split levels no learned prior: a little
    less work than `vaeglow.models.glow.Glow` does.

    Args:
        levels: L.
        depth: K, blocks at each.
        width: hidden channels of the coupling networks.
        channels: C of the images.
        size: H = W.
    """
    import normflows

    priors, merges, flows = [], [], []
    for level in range(levels):  # from the top down
        here = channels * 2 ** (levels + 1 - level)
        blocks = [normflows.flows.GlowBlock(here, width) for _ in range(depth)]
        flows.append([*blocks, normflows.flows.Squeeze()])
        if level == 0:
            shape = (here, size // 2**levels, size // 2**levels)
        else:
            merges.append(normflows.flows.Merge())
            side = size // 2 ** (levels - level)
            shape = (here // 2, side, side)
        priors.append(normflows.distributions.DiagGaussian(shape))
    return normflows.MultiscaleFlow(priors, flows, merges, class_cond=False)
