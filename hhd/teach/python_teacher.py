"""Teachers that are functions in the user's own code."""

from __future__ import annotations

import hashlib
import importlib

import torch
from torch import Tensor

from hhd.teach.card import CALLABLE, TeacherCard
from hhd.teach.opened import Crops, Opened
from hhd.text import shown


def open_callable(card: TeacherCard, device: torch.device) -> Opened:
    """``python:package.module:function``, the only teacher whose code is run.

    It gets uint8 crops [B, H, W, 3] in RGB and gives an array or tensor of the output, for simcc
    two. Its digest is of its name: what it computes is the user's to keep.
    """
    name = card.network.removeprefix(CALLABLE)
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"teacher is {shown(card.network)}, which cannot be imported: {error}; it takes "
            f"{CALLABLE}package.module:function"
        ) from error
    if not callable(found):
        raise ValueError(f"teacher is {shown(card.network)}, which is no function")

    def forward(crops: Crops) -> tuple[Tensor, ...]:
        answer = found(crops)
        parts = answer if isinstance(answer, (tuple, list)) else (answer,)
        try:
            return tuple(torch.as_tensor(part).to(device) for part in parts)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"teacher {card.network} gave no array: {error}") from error

    return Opened(card, forward, hashlib.sha256(card.network.encode()).hexdigest())
