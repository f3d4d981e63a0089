"""torch.library.opcheck on every op: schema, fake tensors, autograd registration, tracing."""

from typing import Any

import pytest
import torch

from kernels.samples import DEVICE, loss_setup

SETUP = loss_setup(2, (2, 2, 9, 7), (3, 4))
B, K, H, W = SETUP.logits.shape
NORMALIZE, DIVERGENCE, LOCATE, BORDER = (2, 3), range(2), range(3), range(2)

pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def compiled() -> None:
    """The library and every op's registration are loaded, or the test fails with the reason."""
    import hhd_kernels as hk

    for name, module in hk._MODULE_OF.items():
        if module != "host":  # a library of its own, which need not be here
            getattr(hk, name)
    with hk.use_backend(DEVICE):
        hk.normalize(SETUP.logits, "none")


def forward_calls() -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Op and arguments; the first argument gets `requires_grad`."""
    s = SETUP
    windows, targets = (3, 4), (s.centers, s.windows)
    calls: dict[str, tuple[str, tuple[Any, ...]]] = {
        f"normalize {kind}": ("normalize", (s.logits, kind, 1.5, 1e-6)) for kind in NORMALIZE
    }
    for window in (0, 5):
        calls[f"soft_argmax {window}"] = ("soft_argmax", (s.logits, 2.0, window))
    for refine in (0, 1):
        calls[f"locate_teacher {refine}"] = ("locate_teacher", (s.logits, refine, 5))
    for mode in LOCATE:
        arguments = (s.logits, s.centers, mode, 2.0, *windows)
        calls[f"locate_student {mode}"] = ("locate_student", arguments)
    for border in BORDER:
        arguments = (s.logits, s.centers, *windows, int(border == 0), border)
        calls[f"crop {border}"] = ("crop", arguments)
    calls["teacher_targets"] = ("teacher_targets", (s.logits, *windows, 4, 1, 0, 1e-6, 0.0))
    for divergence in DIVERGENCE:
        for with_grad in (False, True):
            form = (10.0, 3 if divergence else 2, divergence, 0, 0, 0, 0, 1e-6)
            hhd = (s.logits, *targets, s.weight, None, *form, 0.5, with_grad)
            calls[f"hhd_loss {divergence} {with_grad}"] = ("hhd_loss", hhd)
            joint = (s.logits, *targets, s.target_coords, s.weight, None, None, *form)
            coordinate = (1, 2.0, 2.0, 1.0, 1.0, 1.0, with_grad)
            calls[f"joint_loss {divergence} {with_grad}"] = ("joint_loss", joint + coordinate)
    return calls


def calls_without_derivative() -> dict[str, tuple[str, tuple[Any, ...]]]:
    """Ops that are called below autograd alone."""
    s = SETUP
    teacher, labels = (s.logits.abs(), 3, 4, 4, 0.2), (s.target_coords, s.weight, None, None)
    form = (10.0, 3, 1, 0, 0, 0, 0, 1e-6, 1, 2.0, 2.0, 1.0, 1.0, 1.0)
    return {
        f"joint_loss_from_maps {with_grad}": (
            "joint_loss_from_maps",
            (s.logits, *teacher, *labels, *form, with_grad),
        )
        for with_grad in (False, True)
    }


def backward_calls() -> dict[str, tuple[str, tuple[Any, ...]]]:
    s = SETUP
    return {
        "normalize_backward": ("normalize_backward", (s.logits.flip(0), s.logits, 3, 1.5, 1e-6)),
        "soft_argmax_backward": ("soft_argmax_backward", (s.centers, s.logits, 2.0, 0)),
        "crop_backward": ("crop_backward", (s.windows, s.logits, s.centers, 1, 0)),
        "loss_backward": ("loss_backward", (s.logits.flip(0), torch.tensor(2.0), s.logits)),
        "loss_backward_": ("loss_backward_", (s.logits.clone(), torch.tensor(2.0))),
    }


def check(op: str, arguments: tuple[Any, ...]) -> None:
    result = torch.library.opcheck(getattr(torch.ops.hhd, op).default, arguments)
    assert set(result.values()) == {"SUCCESS"}


@pytest.mark.parametrize("name", sorted(forward_calls()))
def test_forward(name: str) -> None:
    op, arguments = forward_calls()[name]
    logits = arguments[0].clone().requires_grad_()
    check(op, (logits, *arguments[1:]))


@pytest.mark.parametrize("name", sorted(calls_without_derivative()))
def test_without_derivative(name: str) -> None:
    check(*calls_without_derivative()[name])


@pytest.mark.parametrize("name", sorted(backward_calls()))
def test_backward(name: str) -> None:
    check(*backward_calls()[name])


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_dtypes_and_layouts(dtype: torch.dtype, layout: torch.memory_format) -> None:
    for name in ("normalize 3", "soft_argmax 0", "crop 0", "hhd_loss 1 True", "joint_loss 1 True"):
        op, arguments = forward_calls()[name]
        logits = arguments[0].to(dtype).contiguous(memory_format=layout).requires_grad_()
        check(op, (logits, *arguments[1:]))


def test_every_op_is_checked() -> None:
    calls = forward_calls() | calls_without_derivative() | backward_calls()
    checked = {op for op, _ in calls.values()}
    registered = {
        name.split("::")[1].split(".")[0]
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("hhd::")
    }
    assert registered == checked
