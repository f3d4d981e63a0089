"""One person in one picture, from whatever annotation file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Person:
    """``box``: x, y, width, height. ``keypoints`` [K, 3]: x, y, v (0 is unlabelled). Image pixels,
    counted from 0.

    ``width`` and ``height`` are the picture's, None where the file does not say (MPII). ``score``
    is a detector's, 1 for an annotated box; a detected person has no labelled joint. ``swapped``:
    an independent network reads the person's left and right the other way round.
    """

    annotation_id: int
    image_id: int
    category_id: int
    image: Path
    width: int | None
    height: int | None
    box: tuple[float, float, float, float]
    keypoints: NDArray[np.float64]
    swapped: bool = False
    score: float = 1.0

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """(width, height) of the picture, None where the file does not say."""
        return None if self.width is None or self.height is None else (self.width, self.height)
