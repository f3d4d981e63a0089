"""NumPy face of the compiled core: decode heatmaps and encode targets without torch.

For data workers and for deployment beside ONNX Runtime: single-threaded, without state, safe to
fork. Maps are ``[B, K, H, W]`` or ``[K, H, W]`` (results then lose ``B`` too), float16, float32 or
float64, and are read in place whatever their strides. A coordinate is ``(x, y)`` in heatmap pixels;
the centre of column i is x = i. Results are float32, or float64 for float64 maps.

HRNet (leoxiaobin, ``lib/core/inference.py``) and mmpose 1.x (``mmpose/codecs``) decode the same
maps differently in two places; ``convention`` chooses:

============================  =================================  ==============================
                              ``"mmpose"``                       ``"hrnet"``
============================  =================================  ==============================
map whose maximum is <= 0     ``(-1, -1)``                       ``(0, 0)``
quarter offset at the border  each axis for itself: ``1<x<W-1``  only if ``1<x<W-1`` and
                              and ``y>0``; ``1<y<H-1``, ``x>0``  ``1<y<H-1``
============================  =================================  ==============================

A map that contains NaN has no peak: it is marked like a map without a positive value and its score
is NaN. Bad arguments raise ``TypeError`` (wrong type or dtype) or ``ValueError``.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from numbers import Rational, Real
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

try:
    _host: Any = import_module("hhd_kernels._host")
except ImportError as error:
    raise ImportError(
        "hhd_kernels.host needs the compiled module hhd_kernels._host, which this installation "
        f"lacks ({error}); build it with `pip install .` and a C++17 compiler."
    ) from error

__all__ = [
    "decode_dark",
    "decode_plain",
    "decode_quarter",
    "encode_dark",
    "encode_msra",
    "soft_argmax_numpy",
]

Convention: TypeAlias = Literal["mmpose", "hrnet"]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]

MAX_BLUR_KERNEL = 999
MAX_SIZE = 2**31 - 1


def decode_plain(maps: Floats, *, convention: Convention = "mmpose") -> tuple[Floats, Floats]:
    """The peak of every map: its argmax, lowest index on ties.

    Args:
        maps: ``[B, K, H, W]`` or ``[K, H, W]``.
        convention: what marks a map without a positive value (see the module).

    Returns:
        coords ``[B, K, 2]`` (x, y) in heatmap pixels, and score ``[B, K]``, the peak's value.

    Source: mmpose ``get_heatmap_maximum``, HRNet ``get_max_preds``.
    """
    batch = _as_batch("maps", maps)
    return _like_input(maps, _host.decode_plain(batch, _is_hrnet(convention)))


def decode_quarter(maps: Floats, *, convention: Convention = "mmpose") -> tuple[Floats, Floats]:
    """The peak of every map, moved a quarter pixel towards the higher neighbour on each axis.

    Args:
        maps: ``[B, K, H, W]`` or ``[K, H, W]``.
        convention: the mark of an empty map and the border rule (see the module).

    Returns:
        coords ``[B, K, 2]`` (x, y) in heatmap pixels, and score ``[B, K]``, the peak's value.

    Source: mmpose ``refine_keypoints``, HRNet ``get_final_preds``.
    """
    batch = _as_batch("maps", maps)
    return _like_input(maps, _host.decode_quarter(batch, _is_hrnet(convention)))


def decode_dark(
    maps: Floats, *, blur_kernel: int = 11, convention: Convention = "mmpose"
) -> tuple[Floats, Floats]:
    """The peak of every map, refined below the pixel by DARK (Zhang et al., CVPR 2020).

    The map is blurred (``blur_kernel`` taps, sigma = 0.3 ((k - 1) / 2 - 1) + 0.8, zeros outside),
    rescaled to its maximum, cut at 1e-10 and its logarithm expanded to second order at the peak.
    A peak with x < 2, x > W - 3, y < 2 or y > H - 3, a singular Hessian and a step that is not
    finite are left unrefined. Refined coordinates are clamped to the map; mmpose lets them leave.
    HRNet has no DARK: ``convention`` only chooses the mark of an empty map.

    Args:
        maps: ``[B, K, H, W]`` or ``[K, H, W]``.
        blur_kernel: odd, 1 to 999 taps; 11 for targets of sigma 2, 17 for sigma 3.
        convention: what marks a map without a positive value (see the module).

    Returns:
        coords ``[B, K, 2]`` (x, y) in heatmap pixels, and score ``[B, K]``, the peak's value.

    Source: mmpose ``refine_keypoints_dark``. For kernels up to 9 OpenCV, and so mmpose, uses
    tabulated taps instead of the rule above.
    """
    batch = _as_batch("maps", maps)
    kernel = _odd("blur_kernel", blur_kernel, MAX_BLUR_KERNEL)
    return _like_input(maps, _host.decode_dark(batch, kernel, _is_hrnet(convention)))


def soft_argmax_numpy(
    logits: Floats, beta: float = 1.0, window: int | None = None
) -> tuple[Floats, Floats]:
    """The expectation of p = softmax(beta * logits) over each map, accumulated in float64.

    Args:
        logits: ``[B, K, H, W]`` or ``[K, H, W]``.
        beta: inverse temperature, finite and > 0.
        window: None for the whole map; an odd n for the pixels within n // 2 rows and columns of
            the peak, p renormalised there.

    Returns:
        coords ``[B, K, 2]`` (x, y) in heatmap pixels, and confidence ``[B, K]`` in [0, 1]: the mass
        of the whole map's p in the 5 x 5 box at the rounded coords. Both are NaN for a map that
        contains NaN or whose maximum is infinite.
    """
    batch = _as_batch("logits", logits)
    reach = 0 if window is None else _odd("window", window, np.iinfo(np.int32).max)
    return _like_input(logits, _host.soft_argmax(batch, _positive("beta", beta), reach))


def encode_msra(
    keypoints: npt.ArrayLike,
    visible: npt.ArrayLike | None,
    heatmap_size: Sequence[int],
    sigma: float = 2.0,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Gaussian target maps with peak 1 at the rounded joint, cut at 3 sigma.

    The centre is mu = int(joint + 0.5). A joint is drawn if ``visible > 0.5`` (mmpose also draws at
    exactly 0.5). Its weight is ``visible``, or 0 if the square of radius 3 sigma about mu lies
    outside the map (mu - 3 sigma >= size or mu + 3 sigma + 1 < 0). Where 3 sigma is not whole, the
    square has radius floor(3 sigma) about mu; upstream truncates there and can draw one pixel off.

    Args:
        keypoints: ``[K, 2]`` or ``[B, K, 2]`` (x, y) in heatmap pixels, finite where visible;
            `hhd_kernels.coordinates.input_to_heatmap` makes them from input pixels.
        visible: ``[K]`` or ``[B, K]`` in [0, 1]; None means all visible.
        heatmap_size: (W, H), as in `hhd_kernels.coordinates` and mmpose.
        sigma: the Gaussian's, in heatmap pixels, finite and > 0.

    Returns:
        maps ``[..., K, H, W]`` and weights ``[..., K]``, both float32.

    Source: HRNet ``generate_target``, mmpose ``generate_gaussian_heatmaps``.
    """
    return _encode(_host.encode_msra, keypoints, visible, heatmap_size, sigma)


def encode_dark(
    keypoints: npt.ArrayLike,
    visible: npt.ArrayLike | None,
    heatmap_size: Sequence[int],
    sigma: float = 2.0,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Unbiased Gaussian target maps: centred on the unrounded joint and drawn over the whole map.

    Arguments, results, drawing rule and weights are those of `encode_msra`, with mu = joint.

    Source: mmpose ``generate_unbiased_gaussian_heatmaps`` (DARK, Zhang et al., CVPR 2020).
    """
    return _encode(_host.encode_dark, keypoints, visible, heatmap_size, sigma)


def _as_batch(name: str, maps: Floats) -> Floats:
    """A ``[B, K, H, W]`` view of the caller's maps."""
    if not isinstance(maps, np.ndarray):
        raise TypeError(f"{name} is a {type(maps).__name__}; it takes a numpy.ndarray")
    if maps.dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(
            f"{name} has dtype {maps.dtype}; it takes float16, float32 or float64 "
            "in the machine's byte order"
        )
    if maps.ndim not in (3, 4) or min(maps.shape[-2:]) < 1:
        raise ValueError(
            f"{name} has shape {list(maps.shape)}; it takes [B, K, H, W] or [K, H, W] "
            "with H and W at least 1"
        )
    return maps if maps.ndim == 4 else maps[np.newaxis]


def _like_input(maps: Floats, results: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    coords, values = results
    return (coords, values) if maps.ndim == 4 else (coords[0], values[0])


def _is_hrnet(convention: Convention) -> bool:
    if convention not in ("mmpose", "hrnet"):
        raise ValueError(f"convention is {convention!r}; it takes 'mmpose' or 'hrnet'")
    return convention == "hrnet"


def _integer(name: str, value: Any, takes: str) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is {value!r}; it takes {takes}") from None


def _odd(name: str, value: Any, most: int) -> int:
    takes = f"an odd integer from 1 to {most}"
    number = _integer(name, value, takes)
    if not 1 <= number <= most or number % 2 == 0:
        raise ValueError(f"{name} is {value!r}; it takes {takes}")
    return number


def _positive(name: str, value: Any) -> float:
    takes = "a positive, finite number"
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; it takes {takes}")
    # Compared before it becomes a float, which not every integer can.
    number: Any = value if isinstance(value, Rational) else float(value)
    if not 0 < number <= sys.float_info.max:
        raise ValueError(f"{name} is {value!r}; it takes {takes}")
    return float(number)


def _size(name: str, size: Sequence[int]) -> tuple[int, int]:
    takes = f"two integers (W, H), each from 1 to {MAX_SIZE}"
    try:
        width, height = (_integer(name, length, takes) for length in size)
    except (TypeError, ValueError):
        raise TypeError(f"{name} is {size!r}; it takes {takes}") from None
    if min(width, height) < 1 or max(width, height) > MAX_SIZE:
        raise ValueError(f"{name} is {size!r}; it takes {takes}")
    return width, height


def _numbers(name: str, values: npt.ArrayLike) -> Floats:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}; it takes real numbers")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _encode(
    draw: Callable[..., tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]],
    keypoints: npt.ArrayLike,
    visible: npt.ArrayLike | None,
    heatmap_size: Sequence[int],
    sigma: float,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    points = _numbers("keypoints", keypoints)
    if points.ndim not in (2, 3) or points.shape[-1] != 2:
        raise ValueError(
            f"keypoints has shape {list(points.shape)}; it takes [K, 2] or [B, K, 2] of (x, y)"
        )
    weight = np.ones(points.shape[:-1]) if visible is None else _numbers("visible", visible)
    _check_visible(points, weight)
    width, height = _size("heatmap_size", heatmap_size)
    joints = np.concatenate([points, weight[..., np.newaxis]], axis=-1, dtype=np.float64)
    maps, weights = draw(joints.reshape(-1, 3), height, width, _positive("sigma", sigma))
    return maps.reshape(*weight.shape, height, width), weights.reshape(weight.shape)


def _check_visible(points: Floats, visible: Floats) -> None:
    if visible.shape != points.shape[:-1]:
        raise ValueError(
            f"visible has shape {list(visible.shape)}; it takes {list(points.shape[:-1])} "
            f"beside keypoints of shape {list(points.shape)}"
        )
    in_range = (visible >= 0) & (visible <= 1)
    if not in_range.all():
        raise ValueError(
            f"visible contains {visible[~in_range][0]}; it takes numbers in [0, 1] "
            "(clip COCO's flags 0, 1, 2 first)"
        )
    missing = (visible > 0.5) & ~np.isfinite(points).all(axis=-1)
    if missing.any():
        index = tuple(int(i) for i in np.argwhere(missing)[0])
        raise ValueError(
            f"keypoints is {points[index].tolist()} at {list(index)}, which is visible; "
            "it takes finite coordinates there"
        )
