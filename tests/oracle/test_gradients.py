"""The oracle's analytic gradients against central differences of its own values."""

from collections.abc import Callable

import numpy as np
import pytest

import oracle
from oracle.maps import Array

STEP = 1e-6
RNG = np.random.default_rng(0)
SHAPE = (2, 2, 5, 6)


def central_differences(value: Callable[[Array], float], at: Array) -> Array:
    grad = np.zeros_like(at)
    for index in np.ndindex(*at.shape):
        high, low = at.copy(), at.copy()
        high[index] += STEP
        low[index] -= STEP
        grad[index] = (value(high) - value(low)) / (2 * STEP)
    return grad


def check(value: Callable[[Array], float], grad: Array, at: Array) -> None:
    expected = central_differences(value, at)
    assert np.abs(grad - expected).max() <= 1e-7 * max(1.0, np.abs(expected).max())
    assert np.abs(grad).max() > 0


def away_from_zero(shape: tuple[int, ...]) -> Array:
    """Values whose sign no difference step changes."""
    x = RNG.standard_normal(shape)
    return x + np.sign(x) * 0.1


@pytest.mark.parametrize("eps", [1e-6, 1e3])
@pytest.mark.parametrize("kind", ["none", "l1", "l2", "softmax", "l1_positive"])
def test_normalize(kind: str, eps: float) -> None:
    x, probe = away_from_zero(SHAPE), RNG.standard_normal(SHAPE)
    grad = oracle.normalize_backward(probe, x, kind, beta=1.5, eps=eps)
    check(lambda v: (probe * oracle.normalize(v, kind, beta=1.5, eps=eps)).sum(), grad, x)


@pytest.mark.parametrize("window", [None, 1, 3, 9])
def test_soft_argmax(window: int | None) -> None:
    x, probe = RNG.standard_normal(SHAPE), RNG.standard_normal((2, 2, 2))
    if window == 1:
        assert not oracle.soft_argmax_backward(probe, x, 2.0, window).any()
        return
    grad = oracle.soft_argmax_backward(probe, x, 2.0, window)
    check(lambda v: (probe * oracle.soft_argmax(v, 2.0, window)[0]).sum(), grad, x)


@pytest.mark.parametrize("border", ["mirror", "mirror_published"])
@pytest.mark.parametrize("sampling", ["nearest", "bilinear"])
@pytest.mark.parametrize("window", [(3, 4), (8, 7)])
def test_crop(window: tuple[int, int], sampling: str, border: str) -> None:
    x, probe = RNG.standard_normal(SHAPE), RNG.standard_normal((2, 2, *window))
    centers = np.array([[[0.3, 4.0], [5.0, 0.0]], [[2.6, 2.3], [3.0, 2.0]]])
    options = {"sampling": sampling, "border": border}
    grad = oracle.crop_backward(probe, SHAPE, centers, **options)
    expected = central_differences(
        lambda v: (probe * oracle.crop(v, centers, window, **options)).sum(), x
    )
    assert np.abs(grad - expected).max() <= 1e-7


@pytest.mark.parametrize("border", ["mirror", "mirror_published"])
@pytest.mark.parametrize("sampling", ["nearest", "bilinear"])
@pytest.mark.parametrize(
    ("divergence", "normalize", "locate"),
    [
        ("kl", "softmax", "peak"),
        ("kl", "softmax", "debiased"),
        ("sse", "softmax", "peak"),
        ("sse", "l2", "published"),
        ("sse", "l1", "peak"),
        ("sse", "none", "debiased"),
        ("sse", "l1_positive", "peak"),
    ],
)
def test_hhd_loss(divergence: str, normalize: str, locate: str, sampling: str, border: str) -> None:
    shape = (1, 2, 4, 5)
    x = away_from_zero(shape)
    teacher = RNG.random(shape) + 0.1
    centers, windows, _ = oracle.teacher_targets(
        teacher, (3, 4), normalize="l1_positive", sampling=sampling, border=border
    )
    options = {
        "beta": 1.5,
        "normalize": normalize,
        "divergence": divergence,
        "sampling": sampling,
        "border": border,
        "student_centers": oracle.locate_student(
            x, centers, locate, beta=1.5, window=windows.shape[2:]
        ),
    }
    weight = np.array([[1.5, 0.0]])
    _, grad = oracle.hhd_loss(x, centers, windows, weight, **options)
    expected = central_differences(
        lambda v: oracle.hhd_loss(v, centers, windows, weight, **options)[0], x
    )
    assert np.abs(grad - expected).max() <= 1e-7
    assert not grad[0, 1].any()


@pytest.mark.parametrize("reduction", ["mean", "official"])
@pytest.mark.parametrize("unit", [2.0, "map"])
@pytest.mark.parametrize("kind", ["l1", "smooth_l1", "l2"])
def test_joint_loss(kind: str, unit: float | str, reduction: str) -> None:
    x, teacher = RNG.standard_normal(SHAPE), RNG.random(SHAPE)
    centers, windows, _ = oracle.teacher_targets(teacher, (3, 3))
    target = RNG.random((2, 2, 2)) * 5
    weight, teacher_weight = np.array([[1.0, 0.5], [0.0, 2.0]]), np.array([[0.0, 1.0], [1.0, 3.0]])
    arguments = (centers, windows, target, weight, teacher_weight)
    options = {
        "beta": 2.0,
        "reduction": reduction,
        "coordinate_loss": kind,
        "coordinate_unit": unit,
        "transition": 0.2,
        "coordinate_weight": 0.7,
        "hhd_weight": 1.3,
    }
    result = oracle.joint_loss(x, *arguments, **options)
    check(lambda v: oracle.joint_loss(v, *arguments, **options).loss, result.grad, x)
    assert result.loss == 0.7 * result.coordinate_loss + 1.3 * result.hhd_loss
