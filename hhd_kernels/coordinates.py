"""Conversions between heatmap pixels and the coordinates other code uses.

Ours: (x, y) in heatmap pixels, the centre of column i is x = i. Sizes are (width, height). Every
function takes coordinates [..., 2] as a NumPy array or a torch tensor and returns the same kind.
"""

import sys
from numbers import Rational, Real
from typing import Any

Size = tuple[int, int]


def heatmap_to_unit(coords: Any, heatmap_size: Size) -> Any:
    """Heatmap pixels to x / W, in [0, (W-1)/W]: mmpose's integral head and regression labels."""
    width, height = _sides("heatmap_size", heatmap_size)
    return _affine(coords, (1 / width, 1 / height), (0, 0))


def unit_to_heatmap(coords: Any, heatmap_size: Size) -> Any:
    """The inverse of `heatmap_to_unit`."""
    return _affine(coords, _sides("heatmap_size", heatmap_size), (0, 0))


def heatmap_to_dsnt(coords: Any, heatmap_size: Size) -> Any:
    """Heatmap pixels to (2x + 1) / W - 1, in (-1, 1): pixel centres as dsntnn has them."""
    width, height = _sides("heatmap_size", heatmap_size)
    return _affine(coords, (2 / width, 2 / height), (1 / width - 1, 1 / height - 1))


def dsnt_to_heatmap(coords: Any, heatmap_size: Size) -> Any:
    """The inverse of `heatmap_to_dsnt`: ((x + 1) W - 1) / 2."""
    width, height = _sides("heatmap_size", heatmap_size)
    return _affine(coords, (width / 2, height / 2), ((width - 1) / 2, (height - 1) / 2))


def heatmap_to_input(coords: Any, heatmap_size: Size, input_size: Size) -> Any:
    """Heatmap pixels to input pixels by the stride, left aligned: HRNet, mmpose's MSRA codec."""
    heatmap, image = _both(heatmap_size, input_size)
    return _affine(coords, _ratio(image, heatmap), (0, 0))


def input_to_heatmap(coords: Any, heatmap_size: Size, input_size: Size) -> Any:
    """The inverse of `heatmap_to_input`, not rounded."""
    heatmap, image = _both(heatmap_size, input_size)
    return _affine(coords, _ratio(heatmap, image), (0, 0))


def heatmap_to_input_udp(coords: Any, heatmap_size: Size, input_size: Size) -> Any:
    """Heatmap pixels to input pixels, corner on corner: UDP, scale (input - 1) / (heatmap - 1).

    mmpose's UDP codec encodes so, but decodes with input / (heatmap - 1).
    """
    heatmap, image = _both(heatmap_size, input_size)
    return _affine(coords, _udp_ratio(image, heatmap), (0, 0))


def input_to_heatmap_udp(coords: Any, heatmap_size: Size, input_size: Size) -> Any:
    """The inverse of `heatmap_to_input_udp`."""
    heatmap, image = _both(heatmap_size, input_size)
    return _affine(coords, _udp_ratio(heatmap, image), (0, 0))


def _sides(name: str, size: Any) -> Size:
    """(width, height), checked."""
    takes = "(width, height), positive numbers"
    try:
        width, height = size
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {size!r}; it takes {takes}") from None
    for side in (width, height):
        if isinstance(side, bool) or not isinstance(side, Real):
            raise TypeError(f"{name} is {size!r}; it takes {takes}")
        number: Any = side if isinstance(side, Rational) else float(side)
        if not 0 < number <= sys.float_info.max:
            raise ValueError(f"{name} is {size!r}; it takes {takes}")
    return width, height


def _both(heatmap_size: Any, input_size: Any) -> tuple[Size, Size]:
    return _sides("heatmap_size", heatmap_size), _sides("input_size", input_size)


def _ratio(numerator: Size, denominator: Size) -> tuple[float, float]:
    return numerator[0] / denominator[0], numerator[1] / denominator[1]


def _udp_ratio(numerator: Size, denominator: Size) -> tuple[float, float]:
    if min(*numerator, *denominator) < 2:
        raise ValueError(
            f"sizes {numerator} and {denominator}: UDP takes widths and heights of at least 2"
        )
    return _ratio((numerator[0] - 1, numerator[1] - 1), (denominator[0] - 1, denominator[1] - 1))


def _affine(coords: Any, scale: tuple[float, float], offset: tuple[float, float]) -> Any:
    if coords.shape[-1:] != (2,):
        raise ValueError(f"coords has shape {list(coords.shape)}; it takes (x, y), [..., 2]")
    axes = [coords[..., axis] * scale[axis] + offset[axis] for axis in (0, 1)]
    if hasattr(coords, "new_empty"):
        import torch

        return torch.stack(axes, dim=-1)
    import numpy

    return numpy.stack(axes, axis=-1)
