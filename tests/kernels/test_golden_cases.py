"""The published loss equals the official code on 90 golden cases: centres, loss, gradient."""

from pathlib import Path

import numpy as np
import pytest

from kernels.golden_cases import (
    ANSWERERS,
    Case,
    ask,
    check_maps,
    load_cases,
    maps,
    relative_l2,
    rules,
)

COUNT = 90


@pytest.fixture(scope="module")
def grads(golden: Path) -> np.lib.npyio.NpzFile:
    return np.load(golden / "hhd_loss_grads.npz")


def case_of(golden: Path, number: int) -> Case:
    return load_cases(golden, "hhd_loss_cases.json")[number]


def test_count(golden: Path) -> None:
    assert len(load_cases(golden, "hhd_loss_cases.json")) == COUNT


@pytest.mark.parametrize("number", range(COUNT))
@pytest.mark.parametrize("answerer", ANSWERERS)
def test_official_value(
    answerer: str, number: int, golden: Path, grads: np.lib.npyio.NpzFile
) -> None:
    case = case_of(golden, number)
    student, teacher = maps(golden, case, case)
    check_maps(golden, case, student, teacher)
    answer = ask(answerer, case, student, teacher)
    assert answer.teacher_centers.tolist() == case["pos_t_xy"]
    assert answer.student_centers.tolist() == case["pos_s_xy"]
    assert answer.loss == pytest.approx(case["loss"], rel=1e-5)
    assert np.linalg.norm(answer.grad) == pytest.approx(case["grad_l2"], rel=1e-4)
    probe = rules(golden).golden_input(case["seed"] + 500000, student.shape).astype(np.float64)
    projected = float((answer.grad.astype(np.float64) * probe).sum())
    assert projected == pytest.approx(case["grad_dot_probe"], abs=1e-4 * case["grad_l2"])
    if case.get("full_grad"):
        assert relative_l2(answer.grad, grads[f"grad_{case['id']}"]) <= 1e-4
