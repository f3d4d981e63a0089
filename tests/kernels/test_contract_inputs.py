"""Tensors of inference_mode, stored targets and rebuilt ones, numbers and windows of every kind."""

import inspect
import multiprocessing
import subprocess
import sys
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.utils import prune
from torch.utils.data import default_collate

import hhd_kernels as hk
from hhd_kernels.option_names import HHDLossOptions, JointLossOptions
from kernels.samples import loss_setup

needs_host = pytest.mark.skipif(
    find_spec("hhd_kernels._host") is None, reason="hhd_kernels._host is not built"
)

LOSSES = {
    "kl": lambda: hk.HHDLoss(),
    "published": lambda: hk.HHDLoss.published(),
    "joint": lambda: hk.IntegralHHDLoss(window=5),
    "joint published": lambda: hk.IntegralHHDLoss.published(),
    "bilinear": lambda: hk.HHDLoss(sampling="bilinear", locate="debiased"),
}


def gradient(loss: Any, logits: torch.Tensor, *others: Any) -> torch.Tensor:
    leaf = logits.clone().requires_grad_()
    out = loss(leaf, *others)
    out = out.loss if isinstance(out, hk.JointLoss) else out
    (grad,) = torch.autograd.grad(out, leaf)
    return grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("live", [True, False], ids=["maps", "targets"])
@pytest.mark.parametrize("name", LOSSES)
def test_what_needs_no_gradient_may_be_of_inference_mode(
    backend: str, name: str, live: bool, dtype: torch.dtype
) -> None:
    loss = LOSSES[name]()
    setup = loss_setup(0, (2, 3, 12, 10))
    logits, maps = setup.logits.to(dtype), setup.logits.abs()

    def others() -> tuple[Any, ...]:
        teacher = maps.clone() if live else loss.targets(maps.clone())
        coords = (torch.full((2, 3, 2), 4.0),) if isinstance(loss, hk.IntegralHHDLoss) else ()
        return teacher, *coords, torch.ones(2, 3)

    plain = gradient(loss, logits, *others())
    with torch.inference_mode():
        made = others()
    assert torch.equal(gradient(loss, logits, *made), plain)
    if live:
        with torch.inference_mode():
            centers = torch.full((2, 3, 2), 4.0)
        leaf = setup.logits.clone().requires_grad_()
        hk.crop(leaf, centers, 3).sum().backward()
        assert leaf.grad is not None
        assert leaf.grad.any()


LOAD = "print(torch.load(sys.argv[1]).centers.shape)"


@pytest.mark.parametrize(
    "imports",
    [
        "import sys, torch, hhd_kernels as hk", "import sys, hhd_kernels as hk, torch",
        "import sys, hhd_kernels, torch.nn",
        pytest.param("import sys, torch; from hhd_kernels import host", marks=needs_host),
    ],
)  # fmt: skip
def test_stored_targets_load_after_the_import(tmp_path: Path, imports: str) -> None:
    path = tmp_path / "targets.pt"
    torch.save({"t": hk.teacher_targets(torch.rand(1, 4, 16, 12))}, path)
    load = LOAD.replace(")", ")['t']", 1).replace("['t'].", "['t'].")
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}; {load}", str(path)], capture_output=True, text=True
    )
    assert done.stdout == "torch.Size([1, 4, 2])\n", done.stderr


def _load(path: str) -> list[int]:
    return list(torch.load(path).windows.shape)


def test_stored_targets_load_in_spawned_workers(tmp_path: Path) -> None:
    path = tmp_path / "targets.pt"
    torch.save(hk.teacher_targets(torch.rand(1, 4, 16, 12)), path)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_load, (str(path),)) == [1, 4, 7, 7]


def by_generator(x: Any) -> Any:
    """Hugging Face's Trainer: `_prepare_input`, `nested_detach`."""
    if isinstance(x, (tuple, list)):
        return type(x)(by_generator(item) for item in x)
    return x.clone()


def by_fields(x: Any) -> Any:
    """accelerate's `honor_type`."""
    return type(x)(*[field.clone() for field in x])


def by_list(x: Any) -> Any:
    return type(x)([field.clone() for field in x])


def test_losses_travel_too() -> None:
    """A model's output, which evaluation loops gather."""
    setup = loss_setup(0, (2, 3, 12, 10))
    joint = hk.IntegralHHDLoss()(setup.logits, setup.logits.abs(), torch.ones(2, 3, 2))
    for rebuild in (by_generator, by_fields, by_list):
        again = rebuild(joint)
        assert type(again) is hk.JointLoss
        assert torch.equal(again.coords, joint.coords)


@pytest.mark.parametrize("rebuild", [by_generator, by_fields, by_list])
def test_targets_travel_through_trainers(rebuild: Any) -> None:
    targets = hk.teacher_targets(torch.rand(2, 4, 16, 12))
    again = rebuild(targets)
    assert type(again) is hk.TeacherTargets
    assert all(torch.equal(one, other) for one, other in zip(again, targets, strict=True))
    assert type(targets._replace(centers=targets.centers + 1)) is hk.TeacherTargets


def test_targets_travel_through_loaders_and_transformers() -> None:
    rows = [hk.TeacherTargets(*(field[0] for field in hk.teacher_targets(torch.rand(1, 4, 16, 12))))
            for _ in range(3)]  # fmt: skip
    batch = default_collate(rows)
    assert type(batch) is hk.TeacherTargets
    assert batch.windows.shape == (3, 4, 7, 7)
    trainer = pytest.importorskip("transformers.trainer_pt_utils", reason="transformers is absent")
    assert type(trainer.nested_detach(batch)) is hk.TeacherTargets
    both = trainer.nested_concat(batch, batch)
    assert type(both) is hk.TeacherTargets
    assert both.centers.shape == (6, 4, 2)


HUGE = 10**400


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: hk.HHDLoss(beta=HUGE), "beta"),
        (lambda: hk.HHDLoss(eps=-HUGE), "eps"),
        (lambda: hk.HHDLoss(weight=HUGE), "weight"),
        (lambda: hk.HHDLoss(window=HUGE), "window"),
        (lambda: hk.locate_teacher(torch.zeros(1, 1, 2, 2), blur_kernel=HUGE + 1), "blur_kernel"),
        (lambda: hk.IntegralHHDLoss(coordinate_unit=HUGE), "coordinate_unit"),
        (lambda: hk.IntegralHHDLoss(transition=HUGE), "transition"),
        (lambda: hk.IntegralHHDLoss(hhd_weight=HUGE), "hhd_weight"),
        (lambda: hk.IntegralHHDLoss.published(beta=HUGE), "beta"),
        (lambda: hk.soft_argmax(torch.zeros(1, 1, 2, 2), beta=HUGE), "beta"),
        (lambda: hk.soft_argmax(torch.zeros(1, 1, 2, 2), window=10**6000 + 1), "window"),
        (lambda: hk.normalize(torch.zeros(1, 1, 2, 2), "l2", eps=HUGE), "eps"),
        (lambda: hk.crop(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2), (HUGE, 1)), "window"),
        (lambda: hk.teacher_targets(torch.zeros(1, 1, 2, 2), eps=HUGE), "eps"),
        pytest.param(
            lambda: hk.soft_argmax_numpy(np.zeros((1, 1, 2, 2)), beta=HUGE),
            "beta",
            marks=needs_host,
        ),
        pytest.param(
            lambda: hk.encode_msra([[1.0, 1.0]], None, (4, 4), sigma=HUGE),
            "sigma",
            marks=needs_host,
        ),
    ],
)
def test_numbers_that_no_float_holds_are_named(call: Any, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}\b"):
        call()
    if name == "beta":
        assert hk.HHDLoss(beta=Fraction(10)).preset == "kl-v1"


def test_a_window_may_be_the_side_of_a_square(backend: str) -> None:
    maps, centers = torch.rand(1, 2, 12, 10), torch.full((1, 2, 2), 4.0)
    one, other = (hk.crop(maps, centers, window) for window in (5, (5, 5)))
    assert torch.equal(one, other)
    assert hk.teacher_targets(maps, 9).windows.shape == (1, 2, 9, 9)
    assert torch.equal(
        hk.locate_student(maps, centers, "debiased", window=3),
        hk.locate_student(maps, centers, "debiased", window=(3, 3)),
    )
    assert hk.HHDLoss(window=7).preset == "kl-v1"
    assert hk.HHDLoss.published(window=8).preset == "published-v1"
    assert hk.IntegralHHDLoss(window=9).targets(maps).windows.shape == (1, 2, 9, 9)
    for bad in (True, 0, 7.0, "7", (7,), 1000):
        with pytest.raises(ValueError, match=r"^window is .*; it takes \(rows, columns\) or"):
            hk.HHDLoss(window=bad)


@pytest.mark.parametrize(
    "layer",
    [torch.nn.Conv2d(8, 3, 1), torch.nn.ConvTranspose2d(8, 3, 4, bias=False),
     torch.nn.Linear(8, 3)],
)  # fmt: skip
def test_a_last_layer_starts_near_zero(layer: torch.nn.Module) -> None:
    torch.manual_seed(0)
    hk.start_from_zero_maps(layer)
    assert 0 < layer.weight.std() < 2e-3
    assert layer.weight.requires_grad
    assert layer.bias is None or not layer.bias.any()
    for bad in (torch.nn.ReLU(), torch.ones(2), None):
        with pytest.raises(TypeError, match=r"^layer is a \w+; it takes a module with a weight"):
            hk.start_from_zero_maps(bad)


def test_a_layer_whose_weight_would_not_stay_is_refused() -> None:
    normed = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv2d(8, 3, 1))
    before = normed.weight.clone()
    with pytest.raises(TypeError, match=r"^layer.weight is no parameter of its own"):
        hk.start_from_zero_maps(normed)
    assert torch.equal(normed.weight, before)
    pruned = prune.l1_unstructured(torch.nn.Conv2d(8, 3, 1), "bias", 1)
    before = pruned.weight.clone()
    with pytest.raises(TypeError, match=r"^layer.bias is no parameter of its own"):
        hk.start_from_zero_maps(pruned)
    assert torch.equal(pruned.weight, before)
    with pytest.raises(TypeError, match=r"^layer is a BatchNorm2d, whose weight has shape \[3\]"):
        hk.start_from_zero_maps(torch.nn.BatchNorm2d(3))


@pytest.mark.parametrize("loss", [hk.HHDLoss, hk.IntegralHHDLoss])
def test_every_option_of_a_module_is_in_its_signature(loss: Any) -> None:
    parameters = inspect.signature(loss).parameters
    first = ["beta"] if loss is hk.HHDLoss else ["beta", "coordinate_loss"]
    assert [n for n, p in parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD] == first
    assert all(
        p.default is not p.empty and p.annotation is not p.empty for p in parameters.values()
    )
    for name in parameters:
        assert name in (loss.__doc__ or "")


@pytest.mark.parametrize("function", [hk.hhd_loss, hk.joint_loss, hk.joint_loss_and_grad])
def test_every_option_of_a_function_is_in_its_signature(function: Any) -> None:
    types = HHDLossOptions if function is hk.hhd_loss else JointLossOptions
    parameters = inspect.signature(function).parameters
    options = {n: p for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    options.pop("grad_scale", None)
    assert options.keys() == types.__annotations__.keys()
    for name, parameter in options.items():
        assert parameter.annotation == types.__annotations__[name].__forward_arg__
        assert parameter.default is not parameter.empty
    with pytest.raises(TypeError, match="unexpected keyword argument 'bet'"):
        function(torch.zeros(1, 1, 4, 4), hk.teacher_targets(torch.rand(1, 1, 4, 4)), bet=1)
