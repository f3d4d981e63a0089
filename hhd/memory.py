"""Memory that a network lets go of and wants again a moment later."""

from __future__ import annotations

import ctypes
import os
import sys

# Of mallopt, see malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 1 << 30
"""Bytes; larger blocks are mapped for themselves, and given back."""
NEVER = -1
CHOICES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_")


def keep_freed_memory() -> bool:
    """Have glibc keep what this process frees, up to a gigabyte a block; whether it does from now.

    On its own it gives large blocks back to the system, so that a network on a CPU gets each of its
    tensors in new pages, which the system has to clear: a quarter to a half of the time of a step
    or of a batch. For a process of one's own, since it stays as large as it ever was. Nothing
    happens where the environment has said how (``MALLOC_...``, ``GLIBC_TUNABLES``), and without
    glibc.
    """
    chosen = any(name in os.environ for name in CHOICES)
    if chosen or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "") or sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST) and mallopt(M_TRIM_THRESHOLD, NEVER))
