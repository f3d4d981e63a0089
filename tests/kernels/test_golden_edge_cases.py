"""What the published loss does on the official code's 60 edge cases, crashes and NaNs included."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from kernels.golden_cases import (
    ANSWERERS,
    Array,
    Case,
    ask,
    ask_oracle_at,
    check_maps,
    load_cases,
    maps,
    relative_l2,
    rules,
)

COUNT = 60
LAST = (47, 63)


class Ours(NamedTuple):
    """Our answer - same_loss (at another centre), finite, nan (in map 1 alone) or error - and the
    student's centres that are right for map 1 (None: the teacher's)."""

    answer: str
    why: str
    centers: tuple[tuple[int, int], ...] | None = None


BELOW_ONE = Ours("finite", "c < 1 sliced from the other end: the teacher's centre instead")
ZERO_MAP = Ours("finite", "0 / 0 in the norm: eps gives a zero map")
OVERFLOW = Ours("finite", "exp overflowed: the teacher's centre")
CONSTANT = Ours(
    "same_loss", "c < 1 happened to land on the origin of a constant map: the teacher's centre"
)
NEAR_ONE = Ours(
    "finite", "a centre far outside made an empty crop: clamped to the map", (LAST, (20, 30))
)
ONE = Ours("finite", "division by c - 1 = 0: the teacher's centre")
NAN_PIXEL = Ours("nan", "NaN to int crashed: NaN confined to its own map")
SKIP = Ours("error", "windows beyond the map are mirrored, and not left out")
TEACHER_NAN = Ours("nan", "NaN loss, as the official code; confined to its own map")

# Every case that is not listed is answered as the official code answers it.
TABLE = {
    5: BELOW_ONE,
    6: ZERO_MAP,
    7: ZERO_MAP,
    8: OVERFLOW,
    9: CONSTANT,
    10: NEAR_ONE,
    11: ONE,
    14: NAN_PIXEL,
    15: TEACHER_NAN,
    16: SKIP,
    17: Ours("error", "there is no L1 divergence"),
    23: BELOW_ONE,
    26: OVERFLOW,
    27: CONSTANT,
    28: NEAR_ONE,
    29: ONE,
    32: NAN_PIXEL,
    33: TEACHER_NAN,
    34: SKIP,
    40: BELOW_ONE,
    43: OVERFLOW,
    44: CONSTANT,
    45: NEAR_ONE,
    46: ONE,
    49: NAN_PIXEL,
    50: TEACHER_NAN,
    51: SKIP,
}
SAME = [number for number in range(COUNT) if number not in TABLE]


def edited(folder: Path, case: Case) -> tuple[Array, Array]:
    """The maps of one case with the change that its `edit` describes."""
    student, teacher = maps(folder, case, case["inputs"])
    name, size = case["name"], case["H"] * case["W"]
    if name == "student_zero_map":
        student[0, 1] = 0
    elif name == "teacher_zero_map":
        teacher[0, 1] = 0
    elif name == "student_exp_overflow":
        student *= np.float32(30)
    elif name == "student_const_minus20":
        student[0, 1] = -20
    elif name == "student_const_log_1_over_HW":
        student[0, 1] = np.float32(-np.log(size))
    elif name == "student_mass_exactly_1":
        student[0, 1] = -200
        student[0, 1, 5, 6] = 0
    elif name == "teacher_tie":
        teacher[0, 1] = 0
        teacher[0, 1, [7, 30, 7], [9, 5, 20]] = 1
    elif name == "teacher_all_negative":
        teacher = -np.abs(teacher)
    elif name == "student_nan_pixel":
        student[0, 1, 0, 0] = np.nan
    elif name == "teacher_nan_pixel":
        teacher[0, 1, 0, 0] = np.nan
    check_maps(folder, case, student, teacher)
    return student, teacher


def case_of(golden: Path, number: int) -> Case:
    return load_cases(golden, "hhd_loss_edge_cases.json")[number]


def test_table_covers_every_crash_and_nan(golden: Path) -> None:
    cases = load_cases(golden, "hhd_loss_edge_cases.json")
    assert len(cases) == COUNT
    assert {case["id"] for case in cases if case["status"] != "ok"} <= set(TABLE)


@pytest.mark.parametrize("number", SAME)
@pytest.mark.parametrize("answerer", ANSWERERS)
def test_same_as_official(answerer: str, number: int, golden: Path) -> None:
    case = case_of(golden, number)
    student, teacher = edited(golden, case)
    answer = ask(answerer, case, student, teacher)
    assert answer.teacher_centers.tolist() == case["pos_t_xy"]
    assert answer.student_centers.tolist() == case["pos_s_xy"]
    assert answer.loss == pytest.approx(case["loss"], rel=1e-5)
    assert np.linalg.norm(answer.grad) == pytest.approx(case["grad_l2"], rel=1e-4)
    probe = rules(golden).golden_input(case["probe_seed"], student.shape).astype(np.float64)
    projected = float((answer.grad.astype(np.float64) * probe).sum())
    assert projected == pytest.approx(case["grad_dot_probe"], abs=1e-4 * case["grad_l2"])


@pytest.mark.parametrize("number", [n for n, ours in TABLE.items() if ours.answer != "error"])
@pytest.mark.parametrize("answerer", ANSWERERS)
def test_our_answer(answerer: str, number: int, golden: Path) -> None:
    case, ours = case_of(golden, number), TABLE[number]
    student, teacher = edited(golden, case)
    answer = ask(answerer, case, student, teacher)
    if ours.answer == "nan":
        assert np.isnan(answer.loss)
        assert np.isfinite(answer.grad[0, 0]).all()
        if "teacher" in case["name"]:
            assert answer.teacher_centers[0, 1].tolist() == [0, 0]
        return
    allowed = ours.centers or (tuple(answer.teacher_centers[0, 1]),)
    assert tuple(answer.student_centers[0, 1]) in allowed
    assert np.isfinite(answer.loss)
    assert np.isfinite(answer.grad).all()
    expected = ask_oracle_at(case, student, teacher, answer.student_centers)
    assert answer.loss == pytest.approx(expected.loss, rel=1e-5)
    assert relative_l2(answer.grad, expected.grad) <= 1e-4
    if ours.answer == "same_loss":
        assert answer.loss == pytest.approx(case["loss"], rel=1e-5)


@pytest.mark.parametrize(("name", "value"), [("divergence", "l1"), ("border", "skip")])
def test_what_there_is_not_is_refused_by_name(name: str, value: str) -> None:
    import hhd_kernels as hk

    arguments: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=name):
        hk.HHDLoss(**arguments)
