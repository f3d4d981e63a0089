"""Every op x dtype x layout against the oracle: what tests/support.py makes a table of."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

import hhd_kernels as hk
import oracle
import support
from hhd_kernels import backend as choice
from kernels import (
    test_crop,
    test_hhd_loss,
    test_joint_loss,
    test_normalize,
    test_soft_argmax,
    test_teacher_targets,
)
from kernels.budget import check_gradient
from kernels.calls import targets_of
from kernels.samples import (
    DEVICE,
    DTYPES,
    INTERPRETED,
    LAYOUTS,
    accumulate,
    as_array,
    loss_setup,
    random_centers,
    random_maps,
    tensor,
)

HOW = "interpreter" if INTERPRETED else {"cpu": "native", "cuda": "gpu"}[DEVICE]


def shape_of(layout: str) -> tuple[int, int, int, int]:
    """No side is a multiple of a vector's; joints that lie innermost are more than one block."""
    if INTERPRETED:
        return (2, 5 if layout == "channels_last" else 1, 13, 10)
    return (2, 9 if layout == "channels_last" else 2, 21, 18)


def maps(dtype: torch.dtype, layout: str) -> torch.Tensor:
    return tensor(random_maps(11, shape_of(layout), "peaked"), dtype, layout)


def setup(dtype: torch.dtype, layout: str, window: tuple[int, int] = (7, 7)) -> test_hhd_loss.Setup:
    dtypes = (dtype, torch.float32, torch.float32)
    return loss_setup(12, shape_of(layout), window, dtypes=dtypes, layout=layout)


def check_normalize(backend: str, dtype: torch.dtype, layout: str) -> None:
    for kind in ("l2", "softmax"):
        test_normalize.check(backend, maps(dtype, layout), kind, beta=2.5)


def check_soft_argmax(backend: str, dtype: torch.dtype, layout: str) -> None:
    for window in (None, 5):
        test_soft_argmax.check(backend, maps(dtype, layout), 4.0, window)


def check_locate_teacher(backend: str, dtype: torch.dtype, layout: str) -> None:
    x = maps(dtype, layout)
    for refine, tolerance in (("none", 0.0), ("dark", 2e-3)):
        expected = oracle.locate_teacher(as_array(x), refine)
        np.testing.assert_allclose(as_array(hk.locate_teacher(x, refine)), expected, atol=tolerance)


def check_locate_student(backend: str, dtype: torch.dtype, layout: str) -> None:
    x = maps(dtype, layout)
    centers = hk.locate_teacher(x)
    for mode in ("published", "debiased"):
        got = hk.locate_student(x, centers, mode, beta=2.0, window=(8, 8))
        expected = oracle.locate_student(
            as_array(x), as_array(centers), mode, beta=2.0, window=(8, 8)
        )
        np.testing.assert_allclose(as_array(got), expected, atol=2e-4)


def check_crop(backend: str, dtype: torch.dtype, layout: str) -> None:
    for sampling, border in (("nearest", "mirror_published"), ("bilinear", "mirror")):
        centers = random_centers(13, shape_of(layout))
        test_crop.check(backend, maps(dtype, layout), centers, (7, 8), sampling, border)


def check_teacher_targets(backend: str, dtype: torch.dtype, layout: str) -> None:
    for sampling in ("nearest", "bilinear"):
        options = {"kind": "l1_positive", "sampling": sampling, "border": "mirror"}
        test_teacher_targets.check(maps(dtype, layout), (7, 8), **options)


def check_hhd_loss(backend: str, dtype: torch.dtype, layout: str) -> None:
    for form in (("kl", "softmax", "peak"), ("sse", "l2", "published")):
        test_hhd_loss.check(backend, setup(dtype, layout), form)


def check_joint_loss(backend: str, dtype: torch.dtype, layout: str) -> None:
    published = {"divergence": "sse", "normalize": "l2", "locate": "published"}
    test_joint_loss.check(backend, setup(dtype, layout))
    test_joint_loss.check(
        backend,
        setup(dtype, layout, (8, 8)),
        reduction="official",
        coordinate_loss="smooth_l1",
        **published,
    )


def check_joint_loss_from_maps(backend: str, dtype: torch.dtype, layout: str) -> None:
    """As from the targets, which have a check of their own."""
    s, loss = setup(dtype, layout), hk.IntegralHHDLoss()
    teacher, labels = maps(dtype, layout), (s.target_coords, s.weight)
    found, grad = loss.loss_and_grad(s.logits, teacher, *labels)
    known, expected = loss.loss_and_grad(s.logits, loss.targets(teacher), *labels)
    for one, other in zip((*found, grad), (*known, expected), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


def check_loss_backward(backend: str, dtype: torch.dtype, layout: str) -> None:
    """An upstream factor other than 1; a power of two, so that it rounds nothing more."""
    s = setup(dtype, layout)
    logits, factor = s.logits.requires_grad_(), torch.tensor(0.25)
    loss = hk.hhd_loss(logits, targets_of(s), s.weight)
    (whole,) = torch.autograd.grad(loss, logits, retain_graph=True)
    scaled = [torch.autograd.grad(loss * factor, logits, retain_graph=True)[0]]
    fresh = hk.hhd_loss(logits, targets_of(s), s.weight)
    scaled += torch.autograd.grad(fresh * factor, logits)
    if ops := choice.ops("hhd_loss", logits):
        scaled.append(ops.loss_backward(whole, factor, logits))
    usual = (whole.to(accumulate(dtype)) * 0.25).to(dtype)
    for grad in scaled:
        check_gradient(grad, as_array(whole) * 0.25, usual)


CHECKS: dict[str, tuple[Callable[[str, torch.dtype, str], None], tuple[str, ...]]] = {
    "normalize": (check_normalize, ("normalize", "normalize_backward")),
    "soft_argmax": (check_soft_argmax, ("soft_argmax", "soft_argmax_backward")),
    "locate_teacher": (check_locate_teacher, ("locate_teacher",)),
    "locate_student": (check_locate_student, ("locate_student",)),
    "crop": (check_crop, ("crop", "crop_backward")),
    "teacher_targets": (check_teacher_targets, ("teacher_targets",)),
    "hhd_loss": (check_hhd_loss, ("hhd_loss",)),
    "joint_loss": (check_joint_loss, ("joint_loss",)),
    "joint_loss_from_maps": (check_joint_loss_from_maps, ("joint_loss_from_maps",)),
    "loss_backward": (check_loss_backward, ("loss_backward", "loss_backward_")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", CHECKS)
def test_cell(backend: str, name: str, dtype: torch.dtype, layout: str) -> None:
    check, ops = CHECKS[name]
    for op in ops:
        support.record(op, backend, dtype, layout, HOW)
    check(backend, dtype, layout)


def test_every_op_is_checked() -> None:
    assert {op for _, ops in CHECKS.values() for op in ops} == set(support.schema_ops())
