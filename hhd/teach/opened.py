"""What each kind of network gives when it is opened, and the images that networks see."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hhd.files import file_digest
from hhd.teach.card import TeacherCard

Crops = NDArray[np.uint8]
# From crops [B, H, W, 3] to the outputs: one of maps, or the two of simcc, x first.
Forward = Callable[[Crops], tuple[Tensor, ...]]


class Opened(NamedTuple):
    """``card`` with what the network's own file says filled in; ``digest`` of what it computes."""

    card: TeacherCard
    forward: Forward
    digest: str


def no_input_size(card: TeacherCard) -> ValueError:
    """The error where neither the card nor the network's own file says it."""
    return ValueError(
        f"teacher {card.network}: input_size is missing; a teacher card, a YAML, says it"
    )


def normalised(crops: Crops, card: TeacherCard, device: torch.device) -> Tensor:
    """float32 [B, 3, H, W] or, by the card's ``layout``, [B, H, W, 3]."""
    images = torch.from_numpy(np.ascontiguousarray(crops)).to(device)
    images = (images - images.new_tensor(card.mean, dtype=torch.float32)) / torch.tensor(
        card.std, device=device
    )
    if card.channels == "bgr":
        images = images.flip(3)
    return images if card.layout == "nhwc" else images.permute(0, 3, 1, 2).contiguous()


def files_digest(files: Sequence[Path]) -> str:
    """SHA-256 over several files' contents in the order of their names, in hexadecimal."""
    digests = [file_digest(path) for path in sorted(files, key=lambda path: path.name)]
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()
