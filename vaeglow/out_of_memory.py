"""Telling from an exception that memory is used up. No torch."""

from __future__ import annotations

# torch's words, in RuntimeErrors that share no class of their own: CUDA, its CPU allocator on Linux and elsewhere, mmap
WORDS = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


def memory_used_up(error: BaseException) -> str | None:
    """Which memory an exception says is used up: `memory` or `GPU memory`; None: it says something else."""
    if isinstance(error, MemoryError):
        return "memory"
    if isinstance(error, RuntimeError) and any(words in str(error).lower() for words in WORDS):
        return "GPU memory" if "cuda" in str(error).lower() else "memory"
    return None
