"""Where a result came from: commit, source hash, versions, device, start and end. In every file a step makes. No torch.

A step calls `collect` when it starts; `vaeglow.results.write_result` adds the end time.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from vaeglow.device import DETERMINISTIC

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
PACKAGES = (
    "vaeglow",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "pytorch-fid",
    "safetensors",
    "scikit-image",
    "scikit-learn",
    "pillow",
    "snakemake",
)
SOURCES = ("vaeglow", "workflow", "Snakefile", "config")
UNKNOWN = "unknown"


def collect(device: str = "cpu") -> dict[str, Any]:
    """Describe the code, the software and the machine that are running now. Call it first: it notes the time.

    Args:
        device: `cpu`, `cuda` or `cuda:N`, as the step uses it.

    Returns:
        `{"commit", "dirty", "source_sha256", "python", "versions", "platform", "device", "deterministic", "started"}`.
        Outside a git checkout (or without git) `commit` is "unknown" and `dirty` None; nothing is raised.
    """
    commit, dirty = git_state()
    return {
        "commit": commit,
        "dirty": dirty,
        "source_sha256": source_sha256(),
        "python": platform.python_version(),
        "versions": versions(),
        "platform": platform.platform(),
        "device": device_name(device),
        "deterministic": os.environ.get(DETERMINISTIC) == "1",
        "started": now(),
    }


def now() -> str:
    """The time in UTC, to the second, as ISO 8601 writes it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def ended(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """A provenance with the time of now as its end, `finished`."""
    return {**provenance, "finished": now()}


def git_state(root: Path = ROOT) -> tuple[str, bool | None]:
    """The commit checked out at `root`, and whether the source differs from it (new files count).

    ("unknown", None) without git, without a commit, or where `root` is not itself the checkout: a package
    installed inside some other project's virtual environment must not report that project's commit.
    """
    # GIT_DIR and its kin, set inside a git hook, would point at another repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    found = []
    for arguments in (["rev-parse", "--show-toplevel", "HEAD"], ["status", "--porcelain", "--", *SOURCES]):
        command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
        except (OSError, subprocess.SubprocessError):
            return UNKNOWN, None
        found.append(done.stdout)
    top, commit = found[0].splitlines()
    return (commit, bool(found[1])) if Path(top).resolve() == root.resolve() else (UNKNOWN, None)


@functools.cache
def source_sha256() -> str:
    """Hex sha256 over the names and bytes of all the package's Python files: the code that ran, committed or not."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of the packages that could change a number; those not installed are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def device_name(device: str) -> str:
    """The model name of the CPU or GPU behind a torch device string."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return next((name for name in [*names, platform.processor(), platform.machine()] if name), UNKNOWN)
