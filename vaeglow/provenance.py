"""Where a result came from: commit, source hash, versions, device, start, end; in every result file. No torch.

A step calls `collect` when it starts; `vaeglow.results.write_result` adds the end time, `finished`.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import os
import platform
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
# Their versions are recorded: they could change a number.
PACKAGES = (
    *("vaeglow", "torch", "torchvision", "numpy", "scipy", "pytorch-fid", "safetensors"),
    *("scikit-image", "scikit-learn", "pillow", "snakemake"),
)
SOURCES = ("vaeglow", "workflow", "Snakefile", "config")
UNKNOWN = "unknown"
DETERMINISTIC = "VAEGLOW_DETERMINISTIC"  # environment: 1 where `runtime.deterministic` is true


def collect(device: str = "cpu") -> dict[str, Any]:
    """Describe the code, the software and the machine that are running now. Call it first: it records the time.

    Args:
        device: `cpu`, `cuda` or `cuda:N`, as the step uses it.

    Returns:
        `{"commit", "dirty", "source_sha256", "python", "versions", "platform", "device", "deterministic", "started"}`.
        Outside a git checkout (or without git) `commit` is "unknown" and `dirty` None; nothing is raised.
    """
    commit, dirty = git_state()
    versions = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "commit": commit,
        "dirty": dirty,
        "source_sha256": source_sha256(),
        "python": platform.python_version(),
        "versions": versions,
        "platform": platform.platform(),
        "device": device_name(device),
        "deterministic": os.environ.get(DETERMINISTIC) == "1",
        "started": now(),
    }


def now() -> str:
    """The time in UTC, to the second, as ISO 8601 writes it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def git_state(root: Path = ROOT) -> tuple[str, bool | None]:
    """The commit checked out at `root`, and whether the source differs from it (new files count).

    ("unknown", None) without git, without a commit, or where `root` is not itself the checkout: a package
    installed inside some other project's virtual environment must not report that project's commit.
    """
    # GIT_DIR and its kin, set inside a git hook, would point at another repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    git = functools.partial(subprocess.check_output, env=environment, stderr=subprocess.DEVNULL, text=True, timeout=30)
    command = ["git", "--no-optional-locks", "-C", str(root)]
    try:
        top, commit = git([*command, "rev-parse", "--show-toplevel", "HEAD"]).splitlines()
        dirty = bool(git([*command, "status", "--porcelain", "--", *SOURCES]))
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN, None
    return (commit, dirty) if Path(top).resolve() == root.resolve() else (UNKNOWN, None)


@functools.cache
def source_sha256() -> str:
    """Hex sha256 over the names and bytes of all the package's Python files: the code that ran, committed or not."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def device_name(device: str) -> str:
    """The model name of the CPU or GPU of a torch device string."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return next((name for name in [*names, platform.processor(), platform.machine()] if name), UNKNOWN)
