"""Geometry of the top-down crop: box -> centre and size -> 2x3 affine matrix.

Pixels are named by their centres: the centre of the first pixel is (0, 0). The conventions are
those of HRNet (``lib/utils/transforms.py``) and of mmpose without UDP
(``structures/bbox/transforms.py``): only the width enters the scale, and a crop's rotation is given
in degrees.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def box_to_crop(box: ArrayLike, aspect: float, padding: float = 1.25) -> tuple[Array, Array]:
    """Centre [2] and size [2] (image pixels) of the crop around ``box`` = (x, y, width, height).

    The shorter side is lengthened until width / height = ``aspect``, then both are scaled by
    ``padding``. HRNet fixes the aspect before padding, mmpose 1.x after: the same for an isotropic
    padding.
    """
    x, y, width, height = (float(v) for v in np.asarray(box, dtype=np.float64))
    center = np.array([x + width / 2, y + height / 2])
    if width > aspect * height:
        height = width / aspect
    else:
        width = height * aspect
    return center, np.array([width, height]) * padding


def crop_affine(
    center: ArrayLike, size: ArrayLike, rotation: float, out_size: tuple[int, int]
) -> Array:
    """The [2, 3] matrix from image pixels to pixels of a crop of ``out_size`` = (width, height).

    Closed form of the three points that HRNet and mmpose give to ``cv2.getAffineTransform``:
    A = (W_out / w) R(-rotation), t = (W_out / 2, H_out / 2) - A centre.
    """
    width = float(np.asarray(size, dtype=np.float64)[0])
    if not width > 0:
        raise ValueError(f"size has width {width}; a crop needs a positive width")
    angle = math.radians(-rotation)
    scale = out_size[0] / width
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    offset = np.array([out_size[0] / 2, out_size[1] / 2]) - linear @ np.asarray(
        center, dtype=np.float64
    )
    return np.hstack([linear, offset[:, None]])


def flip_affine(width: int) -> Array:
    """The [2, 3] matrix that mirrors an image of ``width`` columns: x -> width - 1 - x (HRNet)."""
    return np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])


def compose(outer: Array, inner: Array) -> Array:
    """The [2, 3] matrix that applies ``inner`` first and ``outer`` second."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.hstack([linear, (outer[:, :2] @ inner[:, 2] + outer[:, 2])[:, None]])


def invert(matrix: Array) -> Array:
    """The [2, 3] matrix that undoes ``matrix``."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.hstack([linear, (-linear @ matrix[:, 2])[:, None]])


def transform_points(points: Array, matrix: Array) -> Array:
    """Points [..., 2] taken through a [2, 3] matrix (or a stack of them: [..., 2, 3])."""
    moved: Array = np.einsum("...ij,...j->...i", matrix[..., :2], points) + matrix[..., 2]
    return moved
