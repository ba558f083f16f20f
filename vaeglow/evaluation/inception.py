"""The one Inception network that FID is defined by: its weights file, and pytorch-fid's network holding them.

pytorch-fid's InceptionV3 carries the weights of TensorFlow's inception-2015-12-05 graph, which FID has used since
Heusel et al. (2017). Where they come from: `vaeglow.evaluation.inception_sources`.
"""

from __future__ import annotations

import functools
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vaeglow.device import image_layout
from vaeglow.errors import UserError
from vaeglow.files import atomic_path
from vaeglow.weights import tensors_sha256 as content_sha256  # equal networks, whatever file they came in

FEATURES = (64, 192, 768, 2048)  # channels after the first and second max pool, before the auxiliary head, at the end
STATISTICS = {"bn.bias": "beta", "bn.running_mean": "mean", "bn.running_var": "var"}  # pytorch-fid's name: the wheel's
PARTS = ("conv.weight", "bn.weight", *STATISTICS)

_DOUBLE_3X3 = ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
_MIXED_5 = ("branch1x1", "branch5x5_1", "branch5x5_2", *_DOUBLE_3X3, "branch_pool")
_MIXED_6 = ("branch1x1", *(f"branch7x7_{i}" for i in (1, 2, 3)), *(f"branch7x7dbl_{i}" for i in range(1, 6)))
_MIXED_7A = ("branch3x3_1", "branch3x3_2", *(f"branch7x7x3_{i}" for i in (1, 2, 3, 4)))
_FORKED_3X3 = (*("branch3x3_1", "branch3x3_2a", "branch3x3_2b"), *(f"branch3x3dbl_{i}" for i in ("1", "2", "3a", "3b")))
_MIXED_7 = ("branch1x1", *_FORKED_3X3, "branch_pool")
CONVOLUTIONS: tuple[str, ...] = (  # the 94 convolutions of pytorch-fid's network, in network order
    *("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "Conv2d_3b_1x1", "Conv2d_4a_3x3"),
    *(f"Mixed_5{block}.{branch}" for block in "bcd" for branch in _MIXED_5),
    *(f"Mixed_6a.{branch}" for branch in ("branch3x3", *_DOUBLE_3X3)),
    *(f"Mixed_6{block}.{branch}" for block in "bcde" for branch in (*_MIXED_6, "branch_pool")),
    *(f"Mixed_7a.{branch}" for branch in _MIXED_7A),
    *(f"Mixed_7{block}.{branch}" for block in "bc" for branch in _MIXED_7),
)


def read_release(path: str | Path) -> dict[str, Tensor]:
    """Read pytorch-fid's own file (its hash already checked), leaving out the classifier that FID never uses."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    return _checked({name: tensor for name, tensor in state.items() if name.endswith(PARTS)})


def convert_torchscript(data: bytes) -> dict[str, Tensor]:
    """Convert the wheel's TorchScript network to pytorch-fid's state dict.

    It holds `weight`, `beta`, `mean` and `var` of each convolution in network order. TensorFlow's graph has no batch
    norm scale, so `bn.weight` is 1. The features of both networks on one noise image must agree to 1e-4.

    Raises:
        UserError: other tensors than expected, or different features.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is on its way out of torch
            module = torch.jit.load(io.BytesIO(data), map_location="cpu").eval()
    except (RuntimeError, AttributeError) as error:
        raise UserError(f"torch {torch.__version__} cannot read the TorchScript file ({error})") from None
    tensors = module.state_dict()
    theirs = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
    if len(tensors) != 4 * len(CONVOLUTIONS) or len(theirs) != len(CONVOLUTIONS):
        raise UserError(f"the TorchScript file holds {len(tensors)} tensors instead of {4 * len(CONVOLUTIONS)}")
    state: dict[str, Tensor] = {}
    for ours, original in zip(CONVOLUTIONS, theirs, strict=True):
        state[f"{ours}.conv.weight"] = tensors[f"{original}.weight"].clone()
        state[f"{ours}.bn.weight"] = torch.ones_like(tensors[f"{original}.beta"])
        for part, their_part in STATISTICS.items():
            state[f"{ours}.{part}"] = tensors[f"{original}.{their_part}"].clone()
    image = 2 * torch.rand(1, 3, 299, 299, generator=torch.Generator().manual_seed(0)) - 1
    with torch.no_grad():
        network = pytorch_fid_network(_checked(state), 2048, resize_input=False, normalize_input=False)
        difference = float((network(image)[0].flatten(1) - module(image)).abs().max())
    if not difference < 1e-4:
        raise UserError(f"the converted Inception network differs from the original by {difference:.1e}")
    return state


def _checked(state: dict[str, Tensor]) -> dict[str, Tensor]:
    expected = {f"{convolution}.{part}" for convolution in CONVOLUTIONS for part in PARTS}
    if set(state) != expected or any(tensor.dtype != torch.float32 for tensor in state.values()):
        raise UserError(f"{len(expected ^ set(state))} tensors missing or unknown: not pytorch-fid's Inception weights")
    return state


def save_weights(path: str | Path, state: Mapping[str, Tensor], origin: Mapping[str, str]) -> None:
    """Write the weights as one self-describing safetensors file."""
    metadata = {**origin, "format": "vaeglow inception 1", "sha256": content_sha256(state)}
    with atomic_path(path) as temporary:
        # not save_file, which makes a file only its owner can read
        temporary.write_bytes(save({name: tensor.contiguous() for name, tensor in state.items()}, metadata))


def load_weights(path: str | Path) -> tuple[dict[str, Tensor], str]:
    """Read what `save_weights` wrote: the state dict (not to be changed) and its content hash.

    A file is read and hashed once, however often it is asked for, until it changes on disk.

    Raises:
        UserError: the file is missing, damaged, or something else.
    """
    if not Path(path).is_file():
        raise UserError(f"{path} does not exist: run the step inception_weights first")
    status = Path(path).stat()
    return _load_weights(str(path), (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))


@functools.lru_cache(maxsize=1)
def _load_weights(path: str, version: tuple[int, ...]) -> tuple[dict[str, Tensor], str]:
    advice = "delete it and run the step inception_weights again"
    try:
        with safe_open(path, framework="pt") as file:
            recorded = (file.metadata() or {}).get("sha256")
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        digest = content_sha256(_checked(state))
    except (SafetensorError, UserError) as error:
        raise UserError(f"{path} does not hold Inception weights ({error}): {advice}") from None
    if digest != recorded:
        raise UserError(f"{path} is damaged (its tensors do not have the recorded sha256): {advice}")
    return state, digest


def pytorch_fid_network(state: Mapping[str, Tensor], features: int, **options: bool) -> nn.Module:
    """pytorch-fid's own InceptionV3 holding `state`, without its download: the loader it calls is replaced meanwhile.

    Args:
        state: of `load_weights`.
        features: the layer, one of 64, 192, 768 and 2048.
        **options: of pytorch-fid's class.
    """
    from pytorch_fid import inception

    # The classifier must be there to be loaded, and is dropped right after: no FID feature depends on it.
    classifier = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    with mock.patch.object(inception, "load_state_dict_from_url", lambda *_, **__: {**state, **classifier}):
        return inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[features]], **options).eval()


def load_inception(path: str | Path, features: int, device: torch.device | str) -> nn.Module:
    """Build pytorch-fid's InceptionV3 for inference.

    Batch norm is folded into the convolutions, and on the CPU weights are laid out channels-last: together 2 times
    faster there, features equal to about 1e-5.

    Args:
        path: the file that step `inception_weights` wrote.
        features: the layer, one of 64, 192, 768 and 2048 (its number of channels).
        device: where to put it.

    Returns:
        A frozen module in eval mode: [B, 3, H, W] in [0, 1] -> [[B, features, h, w]]. It resizes to 299x299 itself.

    Raises:
        UserError: no such layer, or not a file of Inception weights.
    """
    from torchvision.models.inception import BasicConv2d

    if features not in FEATURES:
        raise UserError(f"Inception has no layer of {features} features: a protocol's features is 64, 192, 768 or 2048")
    state, _ = load_weights(path)
    try:
        network = pytorch_fid_network(state, features)
    except RuntimeError as error:  # a tensor of another shape
        raise UserError(
            f"{path} does not fit pytorch-fid's Inception ({str(error).splitlines()[-1].strip()})"
        ) from None
    for module in network.modules():
        if isinstance(module, BasicConv2d):
            module.conv, module.bn = fuse_conv_bn_eval(module.conv, module.bn), nn.Identity()
    network = network.requires_grad_(False).eval().to(device)
    return network.to(memory_format=image_layout(device))
