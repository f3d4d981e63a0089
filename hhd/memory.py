"""Memory that a network lets go of and wants again a moment later."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

# Of mallopt, see malloc.h; glibc up to 2.34 takes no threshold above 32 MiB in the maximum's place.
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
NEVER = -1
CHOICES = (
    *("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_"),
    *("MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_"),
)


def keep_freed_memory() -> bool:
    """Have glibc keep what this process frees; whether it does from now on.

    On its own it gives back to the system blocks of more than 32 MiB and the end of its heap, so
    that a network on a CPU gets many of its tensors in new pages, which the system has to clear: a
    quarter to a half of the time of a step or of a batch. For a process of one's own, since it
    stays as large as it ever was. Nothing happens where the environment has said how (``CHOICES``,
    or ``GLIBC_TUNABLES`` of malloc), and without glibc.
    """
    chosen = any(name in os.environ for name in CHOICES)
    if chosen or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    mallopt = _function("mallopt")
    return mallopt is not None and bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, NEVER))


def release_freed_memory() -> None:
    """Give back what is kept: a process that is forked from this one would hold on to it."""
    trim = _function("malloc_trim")
    if trim is not None:
        trim(0)


def _function(name: str) -> Any:
    """Of the C library; None where it has none of that name."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None
