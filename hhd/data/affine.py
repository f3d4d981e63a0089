"""Geometry of the top-down crop: box -> centre and size -> 2x3 affine matrix.

Pixels are named by their centres: the centre of the first pixel is (0, 0). The standard crop is
that of HRNet (``lib/utils/transforms.py``) and of mmpose without UDP
(``structures/bbox/transforms.py``): only the width enters the scale. The UDP crop (Huang et al.,
CVPR 2020; mmpose ``get_udp_warp_matrix``) puts corners on corners and **turns the other way**.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Affine = Literal["standard", "udp"]


def box_to_center(box: ArrayLike, padding: float = 1.25) -> tuple[Array, Array]:
    """Centre [2] and padded size [2] of ``box`` = (x, y, width, height), its own aspect kept."""
    x, y, width, height = (float(v) for v in np.asarray(box, dtype=np.float64))
    return np.array([x + width / 2, y + height / 2]), np.array([width, height]) * padding


def fix_aspect(size: ArrayLike, aspect: float) -> Array:
    """``size`` = (width, height) with its shorter side lengthened until width / height = aspect."""
    width, height = (float(v) for v in np.asarray(size, dtype=np.float64))
    if width > aspect * height:
        return np.array([width, width / aspect])
    return np.array([height * aspect, height])


def box_to_crop(box: ArrayLike, aspect: float, padding: float = 1.25) -> tuple[Array, Array]:
    """Centre [2] and size [2] (image pixels) of the crop around ``box`` = (x, y, width, height).

    HRNet fixes the aspect before padding, mmpose 1.x after: the same for an isotropic padding.
    """
    center, size = box_to_center(box, padding)
    return center, fix_aspect(size, aspect)


def crop_affine(
    center: ArrayLike,
    size: ArrayLike,
    rotation: float,
    out_size: tuple[int, int],
    affine: Affine = "standard",
) -> Array:
    """The [2, 3] matrix from image pixels to pixels of a crop of ``out_size`` = (width, height).

    Closed forms. Standard: of the three points that HRNet and mmpose give to
    ``cv2.getAffineTransform``, A = (W_out / w) R(-rotation), t = (W_out / 2, H_out / 2) - A centre.
    UDP: A = diag((W_out - 1) / w, (H_out - 1) / h) R(rotation), t = ((W_out - 1) / 2, (H_out - 1) /
    2) - A centre. ``rotation`` is in degrees.
    """
    width, height = (float(v) for v in np.asarray(size, dtype=np.float64))
    if not (width > 0 and (height > 0 or affine == "standard")):
        raise ValueError(f"size is {width} x {height}; a crop needs a positive width and height")
    if affine == "udp":
        extent = np.array([out_size[0] - 1, out_size[1] - 1])
        linear = (extent / [width, height])[:, None] * _rotation(math.radians(rotation))
    else:
        extent = np.array(out_size)
        linear = out_size[0] / width * _rotation(math.radians(-rotation))
    offset = extent / 2 - linear @ np.asarray(center, dtype=np.float64)
    return np.hstack([linear, offset[:, None]])


def _rotation(angle: float) -> Array:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def cells_per_pixel(
    input_size: tuple[int, int], heatmap_size: tuple[int, int], affine: Affine = "standard"
) -> Array:
    """Factors [2] from input pixels to heatmap pixels, (width, height) sizes.

    Standard: 1 / stride, the first cell on the first pixel (MSRA targets, DSNT heads of mmpose).
    UDP: (heatmap - 1) / (input - 1), the last cell on the last pixel too. mmpose's UDP codec
    encodes so and decodes with heatmap - 1 over input, which is .4 % off at 256 pixels.
    """
    if affine == "udp":
        return (np.array(heatmap_size) - 1.0) / (np.array(input_size) - 1.0)
    return np.array(heatmap_size) / np.array(input_size)


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
