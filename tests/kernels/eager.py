"""The ops as a user would write them in eager PyTorch: the yardstick of the error budgets.

Half-precision maps are upcast first, as the ops accumulate in float32; geometry is the oracle's.
"""

from typing import Any

import torch
from torch import Tensor

from kernels.samples import accumulate, as_array
from oracle.crop import Geometry, cell_taps, geometry

TINY = 1.1754943508222875e-38


def normalize(x: Tensor, kind: str, *, beta: float = 1.0, eps: float = 1e-6) -> Tensor:
    maps = x.to(accumulate(x.dtype))
    if kind == "softmax":
        result = (beta * maps).flatten(2).softmax(-1).view_as(maps)
    elif kind == "none":
        result = maps
    else:
        maps = maps.relu() if kind == "l1_positive" else maps
        order = 2 if kind == "l2" else 1
        norm = torch.linalg.vector_norm(maps, order, dim=(2, 3), keepdim=True)
        result = maps / norm.clamp_min(eps)
    return result.to(x.dtype)


def soft_argmax(logits: Tensor, beta: float = 1.0, window: int | None = None) -> Tensor:
    maps = beta * logits.to(accumulate(logits.dtype))
    height, width = maps.shape[2:]
    rows, columns = torch.arange(height, dtype=maps.dtype), torch.arange(width, dtype=maps.dtype)
    if window is not None:
        index = logits.flatten(2).argmax(-1)[..., None, None]
        near_y = (rows[:, None] - index // width).abs() <= window // 2
        near_x = (columns[None, :] - index % width).abs() <= window // 2
        maps = maps.masked_fill(~(near_y & near_x), -torch.inf)
    p = maps.flatten(2).softmax(-1).view_as(maps)
    return torch.stack([(p.sum(2) * columns).sum(-1), (p.sum(3) * rows).sum(-1)], -1)


def crop_joint(heatmap: Tensor, place: Geometry) -> Tensor:
    """One window of one map, as `R_y M R_x^T`."""
    rows = _axis_matrix(place.y.taps, heatmap.shape[0], heatmap.dtype)
    columns = _axis_matrix(place.x.taps, heatmap.shape[1], heatmap.dtype)
    return rows @ heatmap @ columns.T


def crop(
    maps: Tensor, centers: Tensor, window: tuple[int, int], *, sampling: str, border: str
) -> Tensor:
    values = maps.to(accumulate(maps.dtype))
    windows = []
    for b in range(maps.shape[0]):
        for k in range(maps.shape[1]):
            place = geometry(as_array(centers[b, k]), window, maps.shape[2:], sampling, border)
            windows.append(crop_joint(values[b, k], place))
    return torch.stack(windows).view(*maps.shape[:2], *window).to(maps.dtype)


def hhd_loss(
    logits: Tensor,
    centers: Tensor,
    student_centers: Tensor,
    windows: Tensor,
    weight: Tensor | None = None,
    *,
    beta: float = 10.0,
    normalize: str = "softmax",
    divergence: str = "kl",
    sampling: str = "nearest",
    border: str = "mirror",
    reduction: str = "mean",
    eps: float = 1e-6,
    **_: Any,
) -> Tensor:
    dtype = accumulate(logits.dtype)
    maps, targets = logits.to(dtype), windows.to(dtype)
    given = torch.ones(maps.shape[:2], dtype=dtype) if weight is None else weight.to(dtype)
    normalized = globals()["normalize"](maps, normalize, beta=beta, eps=eps)
    log_p = (beta * maps).flatten(2).log_softmax(-1).view_as(maps)
    size, shape = windows.shape[2:], maps.shape[2:]
    total = maps.sum() * 0
    for b in range(maps.shape[0]):
        for k in range(maps.shape[1]):
            if given[b, k] == 0:
                continue
            student = geometry(as_array(student_centers[b, k]), size, shape, sampling, border)
            teacher = geometry(as_array(centers[b, k]), size, shape, sampling, border)
            if divergence == "kl":
                joint = _kl(log_p[b, k], targets[b, k], student, teacher)
            else:
                joint = (crop_joint(normalized[b, k], student) - targets[b, k]).square().sum()
            total = total + given[b, k] * joint
    divisor = given.sum() if reduction == "mean" else maps.shape[0]
    return total / divisor if divisor else total


def coordinate_loss(
    coords: Tensor,
    target: Tensor,
    weight: Tensor | None,
    *,
    kind: str,
    unit: tuple[float, float],
    transition: float,
    reduction: str,
) -> Tensor:
    given = torch.ones_like(coords[..., 0]) if weight is None else weight.to(coords.dtype)
    d = (coords - target.to(coords.dtype)) / torch.tensor(unit, dtype=coords.dtype)
    far = d.abs()
    if kind == "l2":
        loss = d.square()
    elif kind == "smooth_l1":
        loss = torch.where(far < transition, d.square() / (2 * transition), far - transition / 2)
    else:
        loss = far
    total = (given * loss.mean(-1)).sum()
    divisor = given.sum() if reduction == "mean" else given.numel()
    return total / divisor if divisor else total * 0


def _kl(log_p: Tensor, target: Tensor, student: Geometry, teacher: Geometry) -> Tensor:
    if target.sum() == 0:
        return log_p.sum() * 0
    inside = torch.outer(torch.tensor(teacher.y.inside), torch.tensor(teacher.x.inside))
    masses = torch.cat([target.flatten(), (1 - target[inside].sum()).clamp_min(0)[None]])
    b = masses / masses.sum()
    log_a = []
    for cell in torch.cartesian_prod(*(torch.arange(n) for n in target.shape)).tolist():
        taps = cell_taps(student, *cell)
        if taps:
            shares = [
                log_p[y, x] + torch.log(torch.tensor(w, dtype=log_p.dtype)) for y, x, w in taps
            ]
            log_a.append(torch.stack(shares).logsumexp(0))
        else:
            log_a.append(log_p.new_tensor(-torch.inf))
    coverage = torch.outer(
        *(torch.as_tensor(axis.coverage(n)) for axis, n in zip(student, log_p.shape, strict=True))
    )
    outside = (1 - coverage).clamp_min(0).to(log_p.dtype)
    rest = outside > 0
    log_rest = (log_p[rest] + outside[rest].log()).logsumexp(0) if rest.any() else -torch.inf
    log_a.append(torch.as_tensor(log_rest, dtype=log_p.dtype))
    log_masses = torch.stack(log_a)
    log_z = log_masses.logsumexp(0)
    log_tiny = torch.log(torch.tensor(TINY, dtype=log_p.dtype))
    log_shares = torch.where(log_masses == -torch.inf, log_tiny, log_masses) - log_z
    return (torch.xlogy(b, b) - b * log_shares).sum()


def _axis_matrix(taps: list[list[tuple[int, float]]], length: int, dtype: torch.dtype) -> Tensor:
    matrix = torch.zeros(len(taps), length, dtype=dtype)
    for row, cell in enumerate(taps):
        for pixel, weight in cell:
            matrix[row, pixel] += weight
    return matrix
