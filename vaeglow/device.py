"""Which device to compute on, and how many threads."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

from vaeglow.errors import UserError
from vaeglow.locks import CLAIM, claim_gpu

if TYPE_CHECKING:
    import torch

DETERMINISTIC = "VAEGLOW_DETERMINISTIC"  # environment: set to 1 by the workflow where `runtime.deterministic` is true


def pick_device(name: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a torch device.

    On a GPU it also switches TF32 off: with its 10 bits of mantissa, f^-1(f(x)) is off by a grey level or more. In a
    job of the workflow `cuda` is a GPU that no other such job has.

    Args:
        name: `auto` takes a CUDA GPU where there is one and the CPU elsewhere.

    Raises:
        UserError: `cuda` was asked for and there is none, or the name is unknown.
    """
    import torch

    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"unknown device '{name}': runtime.device is auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device cuda was asked for but torch sees no GPU: use auto or cpu (config: runtime.device)")
    if os.environ.get(DETERMINISTIC) == "1":
        be_deterministic()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        if os.environ.get(CLAIM) == "1" and (count := torch.cuda.device_count()) > 1:
            torch.cuda.set_device(claim_gpu(int(os.environ.get("LOCAL_RANK", 0)), count))
    return torch.device(name)


def be_deterministic() -> None:
    """Make torch take deterministic algorithms only; an operation that has none is an error that names it.

    Before the first use of a GPU in the process: cuBLAS reads its workspace setting once.
    """
    import torch

    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # only of use to whoever reads what was never written
    torch.backends.cudnn.benchmark = False


def image_layout(device: torch.device | str) -> torch.memory_format:
    """How images and the weights of convolutions lie in memory.

    On a CPU channels last: training, sampling and likelihoods of our networks take 1.0 to 1.4 times as long without
    (docs/benchmark.md). On a GPU without TF32 nobody measured it: contiguous.
    """
    import torch

    return torch.channels_last if torch.device(device).type == "cpu" else torch.contiguous_format


def set_threads(threads: int) -> None:
    """Fix the number of CPU threads inside torch.

    The thread count changes the order of float sums and so the last bits of a result: it comes from a
    run's resolved config, never from `snakemake --cores`.
    """
    import torch

    torch.set_num_threads(threads)
    keep_freed_memory()


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def keep_freed_memory() -> bool:
    """Let this process keep the memory it frees, for its next step, instead of handing it back to the system.

    glibc takes every large block from the system and gives it back when it is freed, so each batch pays again for
    fresh, zeroed pages: a third of the time of sampling, 8% of a small VAE's training step, nothing to speak of in a
    flow's (docs/performance.md). Values do not depend on it.

    Returns:
        Whether the C library took the settings: glibc does, others have no such switch.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    largest = any(mallopt(M_MMAP_THRESHOLD, size) for size in (1 << 30, 32 << 20))  # old ones refuse more than 32 MiB
    return bool(largest and mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1))
