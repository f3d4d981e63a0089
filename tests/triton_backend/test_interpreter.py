"""The Triton kernels against the oracle, in a process of their own with Triton's interpreter.

The tests are those of tests/kernels, with `triton` as the only backend, and tests/triton_backend/
interpreted. TRITON_INTERPRET=1 must be set before Triton is imported, hence the process:

    TRITON_INTERPRET=1 python -m pytest tests/kernels tests/triton_backend/interpreted

runs them all, for minutes; here is a selection that covers every op, dtype, layout, border,
sampling, divergence and way of locating.
"""

from itertools import product

import pytest

from kernels.samples import BORDERS, SAMPLINGS
from triton_backend.process import must_pass

pytest.importorskip("triton", reason="Triton is not installed")

# Each border and sampling, with each window and reduction in turn.
GEOMETRY = [
    f"{('official', 'mean')[n % 2]}-window{n % 3}-{sampling}-{border}"
    for n, (sampling, border) in enumerate(product(SAMPLINGS, BORDERS))
]
COMPILED = ["hhd_loss kl", "soft_argmax", "target windows"]
SELECTED = [
    "kernels/test_parity.py",
    "kernels/test_normalize.py::test_any_map",
    "kernels/test_normalize.py::test_norms_whose_square_is_beyond_float32",
    "kernels/test_soft_argmax.py::test_any_map",
    "kernels/test_locate_teacher.py::test_peak",
    "kernels/test_locate_teacher.py::test_dark_of_any_map_is_finite_and_on_the_map",
    "kernels/test_locate_student.py::test_any_map",
    "kernels/test_locate_student.py::test_published_below_and_above_the_bound",
    "kernels/test_locate_student.py::test_debiased_leaves_the_middle_of_the_map_alone",
    "kernels/test_locate_student.py::test_a_coordinate_that_is_not_finite_stays",
    "kernels/test_crop.py::test_any_window",
    "kernels/test_teacher_targets.py::test_any_map",
    *(f"kernels/test_hhd_loss.py::test_geometry[triton-{case}]" for case in GEOMETRY),
    "kernels/test_hhd_loss.py::test_any_call",
    "kernels/test_hhd_loss.py::test_norms_whose_square_is_beyond_float32",
    "kernels/test_hhd_loss.py::test_kl_of_extreme_logits_is_exact",
    "kernels/test_hhd_loss.py::test_kl_counts_an_empty_mass_as_tiny",
    "kernels/test_joint_loss.py::test_any_call",
    "kernels/test_joint_loss.py::test_one_pass_is_the_same_loss_and_gradient",
    "kernels/test_contract_edges.py::test_empty_batch",
    "kernels/test_contract_edges.py::test_smallest_maps",
    "kernels/test_contract_edges.py::test_weights_select",
    "kernels/test_contract_edges.py::test_weights_select_coordinates",
    "kernels/test_contract_edges.py::test_nan_stays_in_its_own_map",
    "kernels/test_contract_edges.py::test_a_target_that_is_not_finite_is_nan",
    "kernels/test_contract_edges.py::test_target_coords_that_are_not_finite_are_nan",
    "kernels/test_contract_edges.py::test_a_pixel_of_minus_infinity_is_legal",
    "kernels/test_contract_determinism.py::test_every_output_is_written",
    "kernels/test_contract_determinism.py::test_joints_of_no_weight_are_written_too",
    "kernels/test_contract_derivatives.py::test_a_handed_out_gradient_may_be_changed",
    "kernels/test_contract_derivatives.py::test_other_derivatives_are_refused_by_name",
    "kernels/test_contract_autograd.py::test_second_derivatives_are_refused_by_name",
    *(f"kernels/test_contract_compile.py::test_equals_eager[triton-{name}]" for name in COMPILED),
    "triton_backend/interpreted",
]


def test_interpreted() -> None:
    must_pass(*SELECTED)
