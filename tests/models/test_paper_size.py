"""The models at the paper's size: they build, have the sizes their formulas give, and take a real training step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from models_tools import photo_like, run_config, seeded, snapshot

from vaeglow.data.loader import dequantise
from vaeglow.models.bounds import quantise
from vaeglow.models.kinds import build
from vaeglow.models.vae_glow import VAEGlow
from vaeglow.training.optimise import build_optimizer


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def conv(inputs: int, outputs: int) -> int:
    """3x3, with bias."""
    return 9 * inputs * outputs + outputs


def residual_block(width: int) -> int:
    """Three convolutions and two batch norms."""
    return 3 * conv(width, width) + 2 * 2 * width


def coupling_net(inputs: int, width: int, outputs: int) -> int:
    """conv3x3, conv1x1, conv3x3, each with a bias and a scale for each output channel."""
    return 9 * inputs * width + width * width + 9 * width * outputs + 2 * (2 * width + outputs)


def glow_step(channels: int, width: int, outputs_for_each: int) -> int:
    """Actnorm, 1x1, coupling net."""
    kept = channels // 2
    return 2 * channels + channels**2 + coupling_net(kept, width, outputs_for_each * (channels - kept))


def glow_parameters(network: dict[str, Any]) -> int:
    """Of colour images: 12, 24, 48, ... channels at the levels, a split prior between them, a top prior."""
    levels, outputs_for_each = network["levels"], {"affine": 2, "additive": 1}[network["coupling"]]
    channels = [12 * 2**level for level in range(levels)]
    steps = sum(network["depth"] * glow_step(c, network["width"], outputs_for_each) for c in channels)
    split_priors = sum(9 * (c // 2) * c + 2 * c for c in channels[:-1])
    return steps + split_priors + 2 * channels[-1]


def layer_parameters(layer: dict[str, Any]) -> int:
    """Its steps, and the closing 1x1 with its bias."""
    channels = 3 * layer["squeeze"] ** 2
    return layer["depth"] * glow_step(channels, layer["width"], 1) + channels**2 + channels


def vae_parameters(network: dict[str, Any], prior: dict[str, Any], size: int) -> int:
    """Encoder, decoder of 2 x 3 output channels, flow prior."""
    base, latent, features = network["base_dim"], network["latent_dim"], network["fc_dim"]
    down = [base * 2**k for k in range(network["num_scale"])]
    encoder = conv(3, base) + sum(map(residual_block, down)) + sum(map(conv, down[:-1], down[1:]))
    encoder += 2 * linear(down[-1], features) + linear(features, features) + 2 * linear(features, latent)
    up = [min(base * 2**k, 1024) for k in range(size.bit_length() - 1)][::-1]
    decoder = linear(latent, 4 * up[0]) + sum(map(conv, up[:-1], up[1:])) + sum(map(residual_block, up[1:]))
    decoder += conv(up[-1], 6)
    width, kept = prior["width"], latent // 2
    coupling = linear(kept, width) + linear(width, width) + linear(width, 2 * (latent - kept))
    return encoder + decoder + prior["layers"] * coupling


def expected_parameters(config: dict[str, Any]) -> int:
    if config["kind"] == "glow":
        return glow_parameters(config["network"])
    if config["kind"] == "vae":
        return vae_parameters(config["network"], config["prior"], config["data"]["size"])
    return expected_parameters(config["base"]) + layer_parameters(config["layer"])


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("vae", {"network": {"num_scale": 3, "base_dim": 64, "fc_dim": 512, "decoder_noise": "diagonal"}}),
        ("vaeglow", {"layer": {"squeeze": 2, "depth": 32, "width": 256}}),
        ("vaeglow_as_written", {"layer": {"squeeze": 1, "depth": 32, "width": 96}}),
        ("glow", {"network": {"levels": 3, "depth": 32, "width": 512, "coupling": "affine"}}),
    ],
)
def test_paper_size(model: str, settings: dict[str, Any]) -> None:
    """Parameters counted by formula, then one step of the configured optimiser on two images."""
    config = run_config(model, preset="paper", dataset="cifar10")
    for part, values in settings.items():
        assert {key: config[part][key] for key in values} == values
    made = build(config)
    count = sum(parameter.numel() for parameter in made.parameters())
    print(f"{model}: {count:,} parameters")
    assert count == expected_parameters(config)

    y = dequantise(quantise(photo_like(2, 3, 32), 256), 256, seeded(1))
    made.initialise(y)
    made.train()
    trainable = list(made.trainable())
    frozen = snapshot(made.vae) if isinstance(made, VAEGlow) else {}
    assert sum(p.numel() for p in trainable) == (layer_parameters(config["layer"]) if frozen else count)
    optimizer = build_optimizer(trainable, config["training"])
    before = [parameter.detach().clone() for parameter in trainable]
    loss, _ = made.loss(y, seeded(2))
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(parameter.grad).all() for parameter in trainable)
    optimizer.step()
    moved = sum(not torch.equal(old, new) for old, new in zip(before, trainable, strict=True))
    assert moved > len(trainable) / 4  # zero-initialised layers hold back what is behind them for one step
    if frozen:
        assert all(torch.equal(tensor, frozen[name]) for name, tensor in made.vae.state_dict().items())
    with torch.no_grad():
        assert made.loss(y, seeded(2))[0] != loss


def test_glow_has_its_published_size() -> None:
    """Kingma & Dhariwal's CIFAR-10 model is known as the 44-million-parameter Glow."""
    network = run_config("glow", preset="paper", dataset="cifar10")["network"]
    assert round(glow_parameters(network) / 1e6) == 44
