"""The Infogan nets: sides that are multiples of 4; spectral norms that rest in evaluation and travel with weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models_tools import idle_parameters, one_thread, photo_like, randomise, run_config, seeded  # noqa: F401
from run_tools import CONFIG, COUNTS, Run, interrupt, newest, same_tensors

from vaeglow.config import merge, resolve
from vaeglow.data.arrays import write_dataset
from vaeglow.device import image_layout
from vaeglow.errors import UserError
from vaeglow.models.bounds import log_scale_floor, total
from vaeglow.models.build import build
from vaeglow.models.infogan import InfoganDecoder, InfoganEncoder
from vaeglow.models.prior import StandardNormalPrior
from vaeglow.models.vae import VAE
from vaeglow.training.checkpoint import pack
from vaeglow.training.optimise import Guard, build_optimizer
from vaeglow.weights import load_model, save_model

INFOGAN = {"network": {"architecture": "infogan", "base_dim": 4, "fc_dim": 16}}
SHAPES = [(1, 28), (3, 32), (3, 4), (1, 12)]


def make(channels: int, size: int, noise: str = "diagonal", base_dim: int = 4, fc_dim: int = 16) -> VAE:
    network = {"num_scale": 3, "base_dim": base_dim, "fc_dim": fc_dim, "latent_dim": 5, "batch_norm_momentum": 0.1}
    prior = StandardNormalPrior(5)
    return VAE(
        channels, size, 256, prior=prior, architecture="infogan", decoder_noise=noise, initial_noise=1.0, **network
    )


def largest_singular_value(weight: torch.Tensor) -> float:
    return torch.linalg.matrix_norm(weight.detach().flatten(1), 2).item()


@pytest.mark.parametrize("noise", ["diagonal", "isotropic"])
@pytest.mark.parametrize(("channels", "size"), SHAPES)
def test_shapes_and_ranges(channels: int, size: int, noise: str) -> None:
    """Grey 28x28 and colour 32x32 among them; mean in (0, 1), noise above its floor, log sd within [-7, 2]."""
    vae = randomise(make(channels, size, noise)).eval()
    y = photo_like(3, channels, size)
    mean, log_scale = vae.encode(y)
    assert mean.shape == log_scale.shape == (3, 5)
    assert -7 <= log_scale.min() <= log_scale.max() <= 2
    decoded, decoded_log_scale = vae.decode(mean)
    assert decoded.shape == decoded_log_scale.shape == (3, channels, size, size)
    assert 0 <= decoded.min() < decoded.max() <= 1  # a sigmoid of float32 reaches its ends
    assert decoded_log_scale.min() >= log_scale_floor(256) - 1e-6
    assert (len(decoded_log_scale.unique()) == 1) == (noise == "isotropic")
    assert vae.sample(2, 1.0, seeded()).shape == vae.reconstruct(y[:2]).shape == (2, channels, size, size)


def test_the_sources_size() -> None:
    """At 64 and 1024 on 28x28: the layers of Dai & Wipf, counted by hand (weights, biases, batch norms)."""
    vae = make(1, 28, "isotropic", 64, 1024)
    encoder, decoder = count(vae.encoder), count(vae.decoder)
    convolutions = (16 + 1) * 64 + (16 * 64 + 1) * 128 + 2 * 128
    assert encoder == convolutions + (7 * 7 * 128 + 1) * 1024 + 2 * 1024 + (1024 + 1) * 2 * 5
    dense = (5 + 1) * 1024 + 2 * 1024 + (1024 + 1 + 2) * 7 * 7 * 128
    assert decoder == dense + (16 * 128 * 64 + 64) + 2 * 64 + (16 * 64 + 1)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_encoders_layers_have_spectral_norm_one() -> None:
    """All four, heads included, whatever the size of the raw weights; the decoder's weights are free."""
    torch.manual_seed(0)
    encoder = InfoganEncoder(3, 16, 8, 16, 5, 0.1)
    layers = [part for part in encoder.modules() if isinstance(part, torch.nn.Linear | torch.nn.Conv2d)]
    assert len(layers) == 4
    with torch.no_grad():
        for layer in layers:
            layer.parametrizations.weight.original.mul_(30)
        for _ in range(60):  # the power iteration goes on with every pass in training mode
            encoder(torch.rand(4, 3, 16, 16, generator=seeded()))
    encoder.eval()
    for layer in layers:
        assert largest_singular_value(layer.weight) == pytest.approx(1, abs=0.02)
    names = {name for name, _ in InfoganDecoder(3, 16, 8, 16, 5, 0.1).named_parameters()}
    assert not any("parametrizations" in name for name in names)


def test_evaluation_is_deterministic_and_changes_nothing() -> None:
    vae = randomise(make(1, 28)).eval()
    before = {name: tensor.clone() for name, tensor in vae.state_dict().items()}
    y = photo_like(3, 1, 28)
    one, two = (total(vae.log_likelihood(y, seeded(3))) for _ in range(2))
    assert torch.equal(one, two)
    torch.testing.assert_close(vae.encode(y[:1])[0], vae.encode(y)[0][:1])  # whatever else is in the batch
    assert same_tensors(before, vae.state_dict())
    vae.train()
    vae.encode(y)
    name = "encoder.heads.parametrizations.weight.0._u"
    assert not torch.equal(before[name], vae.state_dict()[name])


def test_every_parameter_learns() -> None:
    """But for biases before a batch norm, which it subtracts again."""
    idle = idle_parameters(make(3, 8), photo_like(16, 3, 8, noise=0.05))
    before_a_norm = {"encoder.trunk.2.bias", "encoder.trunk.6.bias"}
    assert idle <= before_a_norm | {f"decoder.trunk.{i}.bias" for i in (0, 3, 7)}


@pytest.mark.parametrize(("channels", "size"), SHAPES[:2])
def test_saved_and_loaded(channels: int, size: int, tmp_path: Path) -> None:
    """Bit for bit, the vectors of the spectral norms among it."""
    config = run_config("vae", vae=INFOGAN)
    config["data"] |= {"channels": channels, "size": size}
    vae = randomise(build(config)).eval().to(memory_format=image_layout("cpu"))
    path = tmp_path / "model.safetensors"
    save_model(path, vae, config, {})
    loaded, _ = load_model(path, "cpu")
    assert same_tensors(loaded.state_dict(), vae.state_dict())
    assert any(name.endswith("._u") for name in loaded.state_dict())
    y = photo_like(4, channels, size)
    assert torch.equal(total(loaded.log_likelihood(y, seeded())), total(vae.log_likelihood(y, seeded())))


def test_weights_are_a_function_of_the_seed() -> None:
    """The random vectors of the spectral norms too."""
    config = run_config("vae", vae=INFOGAN)
    one, two, other = (build({**config, "seed": seed}).state_dict() for seed in (0, 0, 1))
    assert same_tensors(one, two)
    name = "encoder.heads.parametrizations.weight.0._u"
    assert not torch.equal(one[name], other[name])


# -------------------------------------------------------------------------------------------- training


def infogan_config(model: str = "vae") -> dict[str, Any]:
    """A tiny run on grey 28x28 images."""
    config = merge(CONFIG, {"models": {"vae": INFOGAN}})
    config["datasets"]["blobs"] |= {"channels": 1, "size": 28}
    return resolve(config, "tiny", "blobs", model, 0)


@pytest.fixture(scope="module")
def grey_dir(tmp_path_factory) -> Path:
    folder, random = tmp_path_factory.mktemp("grey") / "blobs", np.random.default_rng(0)
    splits = {
        name: random.integers(0, 256, (n, 1, 7, 7), np.uint8).repeat(4, 2).repeat(4, 3) for name, n in COUNTS.items()
    }
    info = {"name": "blobs", "kind": "folder", "channels": 1, "size": 28, "levels": 256}
    write_dataset(folder, splits, info | {"mean": [0.5], "std": [0.2], "source": {}})
    return folder


def test_it_learns_and_resumes_exactly(grey_dir: Path, tmp_path: Path) -> None:
    """Stopped in an epoch and resumed equals undisturbed: the power iteration's vectors are part of the state."""
    config = infogan_config()
    whole = Run(tmp_path / "whole", config, grey_dir).train()
    bits = [float(row["bits_per_dim"]) for row in whole.rows()]
    assert bits[1] < bits[0]
    stopped = interrupt(Run(tmp_path / "stopped", config, grey_dir), 3).train()
    assert same_tensors(stopped.weights(), whole.weights())
    assert same_tensors(newest(stopped), newest(whole))
    assert stopped.rows() == whole.rows()


def test_a_bad_step_leaves_norms_as_they_were() -> None:
    """Statistics of both kinds of batch norm and the spectral norms' vectors are put back."""
    config = infogan_config()
    model = build(config).train()
    device = torch.device("cpu")
    optimizer = build_optimizer(model.trainable(), config["training"])
    guard = Guard(model, optimizer, 100.0, device)
    y = photo_like(4, 1, 28)
    for factor in (1.0, float("nan")):
        before = {name: tensor.clone() for name, tensor in pack(model, optimizer).items()}
        guard.before_forward()
        loss = factor * model.loss(y, seeded())[0]
        loss.backward()
        guard.step(loss)
        assert same_tensors(before, pack(model, optimizer)) == (factor != 1)


# ---------------------------------------------------------------------------------------------- config


@pytest.mark.parametrize(
    ("architecture", "size", "message"),
    [
        ("infogan", 30, r"dataset blobs .*model vae needs a side that is a multiple of 4"),
        ("resnet", 28, r"dataset blobs .*model vae needs a side that is a power of two"),
        ("infogan", 28, None),
        ("infogan", 4, None),
    ],
)
def test_sides(architecture: str, size: int, message: str | None) -> None:
    config = copy.deepcopy(CONFIG)
    config["datasets"]["blobs"]["size"] = size
    config["models"]["vae"]["network"]["architecture"] = architecture
    if message is None:
        assert resolve(config, "tiny", "blobs", "vae", 0)["data"]["size"] == size
        return
    with pytest.raises(UserError, match=message) as caught:
        resolve(config, "tiny", "blobs", "vae", 0)
    assert "\n" not in str(caught.value)
