"""The Triton kernels against the oracle, in a process of their own with Triton's interpreter.

The tests are those of tests/kernels, with `triton` as the only backend, and tests/triton_backend/
interpreted. TRITON_INTERPRET=1 must be set before Triton is imported, hence the process:

    TRITON_INTERPRET=1 python -m pytest tests/kernels tests/triton_backend/interpreted

runs them all, for minutes; here is a selection that covers every op, dtype, layout, border,
sampling, divergence and way of locating.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

ROOT = Path(__file__).resolve().parents[2]
SELECTED = {
    "every op, dtype and layout": ["kernels/test_parity.py"],
    "any call": [
        f"kernels/test_{name}"
        for name in (
            "normalize.py::test_any_map",
            "soft_argmax.py::test_any_map",
            "locate_teacher.py::test_peak",
            "locate_teacher.py::test_dark_of_any_map_is_finite_and_on_the_map",
            "locate_student.py::test_any_map",
            "locate_student.py::test_published_below_and_above_the_bound",
            "crop.py::test_any_window",
            "teacher_targets.py::test_any_map",
            "hhd_loss.py::test_any_call",
            "hhd_loss.py::test_geometry",
            "hhd_loss.py::test_kl_of_extreme_logits_is_exact",
            "hhd_loss.py::test_kl_counts_an_empty_mass_as_tiny",
            "joint_loss.py::test_any_call",
            "joint_loss.py::test_one_pass_is_the_same_loss_and_gradient",
        )
    ],
    "contracts": [
        f"kernels/test_contract_{name}"
        for name in (
            "edges.py::test_empty_batch",
            "edges.py::test_smallest_maps",
            "edges.py::test_weights_select",
            "edges.py::test_weights_select_coordinates",
            "edges.py::test_nan_stays_in_its_own_map",
            "edges.py::test_a_pixel_of_minus_infinity_is_legal",
            "determinism.py::test_every_output_is_written",
            "determinism.py::test_skipped_joints_are_written_too",
            "derivatives.py",
            "autograd.py::test_second_derivatives_are_refused_by_name",
            "compile.py::test_equals_eager",
        )
    ],
    "what is Triton's": ["triton_backend/interpreted"],
}


@pytest.mark.parametrize("what", SELECTED)
def test_interpreted(what: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "-W", "ignore"]
        + [f"tests/{name}" for name in SELECTED[what]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "TRITON_INTERPRET": "1"},
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
