"""What trainers do with the losses' gradients, and the derivatives that are refused by name."""

import io

import pytest
import torch
from torch.autograd import forward_ad

import hhd_kernels as hk
from kernels.samples import BACKENDS, DEVICE, FUSED


def maps(seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Student logits and teacher maps, [4, 3, 16, 12]."""
    draw = torch.Generator(DEVICE).manual_seed(seed)
    student = torch.randn(4, 3, 16, 12, generator=draw) * 0.05
    return student.to(dtype), torch.rand(4, 3, 16, 12, generator=draw) ** 6


@pytest.fixture(params=FUSED)
def fused(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("compiled", [False, True])
def test_a_loss_scaler_reaches_float16_before_rounding(backend: str, compiled: bool) -> None:
    joint = hk.IntegralHHDLoss(coordinate_weight=1e-4, hhd_weight=1e-4)
    student, teacher = maps(dtype=torch.float16)
    coords = torch.full((4, 3, 2), 5.0)

    def gradient(logits: torch.Tensor, scale: float, loss: torch.nn.Module) -> torch.Tensor:
        logits = logits.detach().clone().requires_grad_()
        (loss(logits, teacher, coords).loss * scale).backward()
        assert logits.grad is not None
        return logits.grad.double() / scale

    with hk.use_backend("reference"):
        exact = gradient(student.double(), 1.0, joint)
    with hk.use_backend(backend):
        loss = torch.compile(joint, fullgraph=True, backend="aot_eager") if compiled else joint
        scaled = gradient(student, 2.0**16, loss)
    assert (scaled - exact).norm() < 1e-3 * exact.norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_handed_out_gradient_may_be_changed(fused: str, dtype: torch.dtype) -> None:
    student, teacher = maps(dtype=dtype)
    logits = student.requires_grad_()
    with hk.use_backend(fused):
        loss = hk.HHDLoss()(logits, teacher)
        (first,) = torch.autograd.grad(loss, logits, retain_graph=True)
        expected = first.clone()
        first.mul_(3)
        (second,) = torch.autograd.grad(loss, logits, retain_graph=True)
        second.data.zero_()
        (third,) = torch.autograd.grad(loss * 2, logits)
        with pytest.raises(RuntimeError, match="second time"):
            torch.autograd.grad(loss, logits)
    torch.testing.assert_close(third / 2, expected)


@pytest.mark.parametrize("name", ["soft_argmax", "normalize", "crop", "hhd_loss"])
def test_other_derivatives_are_refused_by_name(fused: str, name: str) -> None:
    student, teacher = maps()
    targets = hk.teacher_targets(teacher)
    calls = {
        "soft_argmax": lambda x: hk.soft_argmax(x)[0].sum(),
        "normalize": lambda x: hk.normalize(x, "l2").sum(),
        "crop": lambda x: hk.crop(x, targets.centers).sum(),
        "hhd_loss": lambda x: hk.hhd_loss(x, targets),
    }
    refused = pytest.raises(RuntimeError, match=rf"hhd_kernels\.{name}: a .*derivative")
    with hk.use_backend(fused):
        with refused:
            torch.func.grad(calls[name])(student)
        with refused:
            torch.func.jvp(calls[name], (student,), (student,))
        with forward_ad.dual_level(), refused:
            calls[name](forward_ad.make_dual(student, student))


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_pass_form_under_inference_mode(backend: str) -> None:
    joint = hk.IntegralHHDLoss()
    student, teacher = maps()
    coords = torch.full((4, 3, 2), 5.0)
    with hk.use_backend(backend):
        expected, gradient = joint.loss_and_grad(student, teacher, coords)
        with torch.inference_mode():
            inputs = (student.clone(), teacher.clone(), coords.clone())
            got, inferred = joint.loss_and_grad(*inputs, grad_scale=torch.tensor(2.0))
    torch.testing.assert_close(got.loss, expected.loss)
    torch.testing.assert_close(inferred, 2 * gradient)


@pytest.mark.parametrize("backend", BACKENDS)
def test_kl_is_of_the_teachers_positive_part(backend: str) -> None:
    student, teacher = maps()
    signed = hk.teacher_targets(teacher - 0.1, normalize="none")
    positive = signed._replace(windows=signed.windows.relu())
    results = []
    with hk.use_backend(backend):
        for targets in (signed, positive):
            logits = student.clone().requires_grad_()
            loss = hk.hhd_loss(logits, targets)
            results.append((loss.detach(), *torch.autograd.grad(loss, logits)))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


def test_use_backend_may_be_entered_twice() -> None:
    choice = hk.use_backend("reference")
    with choice, choice:
        pass
    assert hk.explain("soft_argmax", maps()[0]).backend == DEVICE


def test_targets_are_stored_and_moved() -> None:
    targets = hk.teacher_targets(maps()[1])
    file = io.BytesIO()
    torch.save(targets.to(torch.float16), file)
    file.seek(0)
    loaded = torch.load(file)
    assert isinstance(loaded, hk.TeacherTargets)
    torch.testing.assert_close(loaded.windows, targets.windows.half())
