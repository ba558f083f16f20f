"""Which device to compute on, and how many threads."""

import sys
from contextlib import suppress
from ctypes import CDLL
from os import environ, getenv, getuid
from pathlib import Path
from tempfile import gettempdir

import torch
from filelock import FileLock, Timeout
from torch import backends, cuda

from vaeglow.errors import UserError
from vaeglow.results import DETERMINISTIC

# Environment variable that the workflow sets to 1; a step run by hand, or a notebook, uses torch's GPU.
CLAIM = "VAEGLOW_CLAIM_GPU"
_claimed: dict[int, FileLock] = {}  # this process's GPU, and its lock


def pick_device(name: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a torch device.

    On a GPU it also switches TF32 off: with its 10 bits of mantissa, f^-1(f(x)) is off by a grey level or more. In a
    job of the workflow `cuda` is a GPU that no other such job uses, if one is free. Under `DETERMINISTIC` torch takes
    deterministic algorithms only; an operation that has none is an error that names it.

    Args:
        name: `auto` takes a CUDA GPU where there is one and the CPU elsewhere.

    Raises:
        UserError: `cuda` was requested and there is none, or the name is unknown.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"unknown device '{name}': give auto, cpu or cuda")
    if name == "cuda" and not cuda.is_available():
        raise UserError("device cuda was requested but torch sees no GPU: use auto or cpu (config: runtime.device)")
    if getenv(DETERMINISTIC) == "1":
        environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once, at the first use of a GPU
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # slow, and nothing reads it
        backends.cudnn.benchmark = False
    if name == "auto":
        name = "cuda" if cuda.is_available() else "cpu"
    if name == "cuda":
        backends.cudnn.allow_tf32 = False
        backends.cuda.matmul.allow_tf32 = False
        count = cuda.device_count()
        if count > 1 and getenv(CLAIM) == "1":
            cuda.set_device(claim_gpu(int(getenv("LOCAL_RANK", 0)), count))
    return torch.device(name)


def claim_gpu(preferred: int, count: int) -> int:
    """The index of a GPU, of `count`, that no other job of this user has claimed; a second call returns the same one.

    On a cluster a job sees its own GPUs only, and none is claimed by another. A claim ends with its process. If all
    are claimed, it is the preferred one: sharing is slow, but works as long as memory is enough for all.
    """
    if _claimed:
        return next(iter(_claimed))
    for index in sorted(range(count), key=lambda index: index != preferred):
        with suppress(Timeout, NotImplementedError, OSError):  # claimed; or a file system without locks
            lock = FileLock(gpu_lock(index))
            lock.acquire(timeout=0)
            _claimed[index] = lock
            return index
    return preferred


def gpu_lock(index: int) -> Path:
    """The lock file of a GPU, named by the machine's numbering, not this process's."""
    names = getenv("CUDA_VISIBLE_DEVICES", "").replace(" ", "").replace("/", "-").split(",")
    name = names[index] if index < len(names) and names[index] else index
    return Path(gettempdir(), f"vaeglow-gpu-{getuid()}-{name}.lock")


def image_layout(device: torch.device | str) -> torch.memory_format:
    """The memory layout of images and of convolutions' weights.

    On a CPU channels last: training, sampling and likelihoods of our networks take 1.0 to 1.4 times as long without
    (docs/benchmark.md). On a GPU without TF32 it was not measured: contiguous.
    """
    return torch.channels_last if torch.device(device).type == "cpu" else torch.contiguous_format


def set_threads(threads: int) -> None:
    """Fix the number of CPU threads inside torch, take denormals as zero, and keep freed memory for the next step.

    The thread count changes the order of float sums and so the last bits of a result: it comes from a
    run's resolved config, never from `snakemake --cores`.

    Numbers below 1.2e-38 are slow on many CPUs, and the backward pass of a PixelCNN's softmax over 256 values meets
    them once it has learned: training takes 4 times as long (docs/performance.md).

    glibc takes every large block from the system and gives it back when it is freed, so each batch pays again for
    fresh, zeroed pages: a third of the time of sampling, 8% of a small VAE's training step, almost nothing in a flow's
    (docs/performance.md). Values do not depend on it. Other C libraries have no such setting.
    """
    torch.set_flush_denormal(True)  # first: torch's other threads take it over when they start
    torch.set_num_threads(threads)
    mallopt = getattr(CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    trim_threshold = -1  # glibc's malloc.h
    mmap_threshold = -3
    if mallopt and any(mallopt(mmap_threshold, size) for size in (1 << 30, 32 << 20)):  # old ones refuse over 32 MiB
        mallopt(trim_threshold, (1 << 31) - 1)
