"""The looped contestants are what they stand for: the official loss, and the default preset's."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import lock
from benchmarks.inputs import DTYPES, LAYOUTS, make_maps
from benchmarks.official_loop import official_loop
from benchmarks.presets import PRESETS
from kernels.golden_cases import check_maps, load_cases, maps, normalizations, relative_l2, rules


@pytest.mark.parametrize("number", range(90))
def test_official_loop_on_golden_cases(number: int, golden: Path) -> None:
    case = load_cases(golden, "hhd_loss_cases.json")[number]
    student, teacher = maps(golden, case, case)
    check_maps(golden, case, student, teacher)
    logits = torch.from_numpy(student).requires_grad_()
    loss = official_loop(
        logits,
        torch.from_numpy(teacher),
        window=tuple(case["crop"]),
        normalize=normalizations(case),
        weight=case["loss_weight"],
    )
    (grad,) = torch.autograd.grad(loss, logits)
    assert loss.item() == pytest.approx(case["loss"], rel=1e-5)
    assert np.linalg.norm(grad.numpy()) == pytest.approx(case["grad_l2"], rel=1e-4)
    probe = rules(golden).golden_input(case["seed"] + 500000, student.shape)
    projected = float((grad.numpy().astype(np.float64) * probe).sum())
    assert projected == pytest.approx(case["grad_dot_probe"], abs=1e-4 * case["grad_l2"])
    if case.get("full_grad"):
        with np.load(golden / "hhd_loss_grads.npz") as grads:
            assert relative_l2(grad.numpy(), grads[f"grad_{case['id']}"]) <= 1e-4


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", PRESETS)
def test_loop_is_the_preset(name: str, dtype: str, layout: str) -> None:
    lock.check_loop(PRESETS[name], make_maps(64, 48, dtype, layout, batch=lock.INSTANCES))
