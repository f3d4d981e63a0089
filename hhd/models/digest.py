"""A digest of what a checkpoint holds, so that damage and edits show when it is read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

DIGEST = "digest"


def state_digest(state: Any) -> str:
    """SHA-256, in hexadecimal, of nested tensors and plain values, in their order; an entry
    ``digest`` of the outermost dict does not count."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            digest.update(f"{value.dtype} {tuple(value.shape)} ".encode())
            flat = value.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
        elif isinstance(value, dict):
            digest.update(f"dict {len(value)} ".encode())
            for key, item in value.items():
                digest.update(f"{key!r} ".encode())
                add(item)
        elif isinstance(value, (list, tuple)):
            digest.update(f"{type(value).__name__} {len(value)} ".encode())
            for item in value:
                add(item)
        else:
            digest.update(f"{value!r} ".encode())

    add({key: value for key, value in state.items() if key != DIGEST})
    return digest.hexdigest()


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of a tensor that holds a number that is not finite, None if all are."""
    for name, value in tensors.items():
        # A tensor on "meta" holds no numbers.
        if value.is_floating_point() and not value.is_meta and not torch.isfinite(value).all():
            return name
    return None
