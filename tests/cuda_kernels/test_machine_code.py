"""The machine code of the CUDA kernels accesses memory as widely as the sources say."""

import pytest

from cuda_kernels import budgets, compile, machine_code
from cuda_kernels.machine_code import Code

STAGED = {"LDG", "LDGSTS", "LDS"}
# What kernels over whole maps access by 16 bytes.
WIDE = {
    "held_joint_loss_kernel": {"LDG", "LDS", "STS", "STG"},
    "joint_loss_kernel": STAGED | {"STS", "STG"},
    "held_teacher_targets_kernel": {"LDG", "STS"},
    "soft_argmax_kernel": STAGED,
    "soft_argmax_backward_kernel": STAGED | {"STS", "STG"},
    "normalize_kernel": STAGED | {"STS", "STG"},
    "normalize_backward_kernel": STAGED | {"STS", "STG"},
    "teacher_targets_kernel": STAGED,
    "locate_teacher_kernel": STAGED,
    "locate_student_kernel": STAGED,
    "loss_backward_kernel": STAGED | {"STS", "STG"},
    "crop_backward_kernel": {"STS", "STG"},
}
LISTING = """
arch = sm_90
\t\tFunction : _ZN3hhd4cuda3_aa12reduce_termsEPKdS2_l
        /*0000*/                   LDG.E.128 R4, desc[UR4][R2.64] ;    /* 0x0000000402047981 */
        /*0010*/              @!P0 LDS.128 R8, [R3+0x10] ;             /* 0x0000000402047981 */
        /*0020*/                   LDG.E.U8 R4, desc[UR4][R2.64] ;     /* 0x0000000402047981 */
        /*0030*/               @P1 BRA 0x10 ;                          /* 0x0000000402047981 */
        /*0040*/                   ST.E.128 [R2.64], R4;               /* 0x0000000402047981 */
        /*0050*/                   BRA 0x50;                           /* 0x0000000402047981 */
        /*0060*/                   NOP;                                /* 0x0000000402047981 */
"""


@pytest.fixture(scope="module")
def code() -> Code:
    """Of every kernel; skips where there is no CUDA compiler."""
    if reason := compile.why_not():
        pytest.skip(reason)
    return machine_code.disassemble(compile.build())


def test_budgets(code: Code) -> None:
    assert budgets.over_budget(budgets.read(), machine_code.figures(code)) == []


@pytest.mark.parametrize("what", ["bytes", "generic"])
def test_access_is_what_it_can_be(code: Code, what: str) -> None:
    """A memcpy that has lost the alignment moves bytes; a place without a memory is looked up."""
    for kernel, by_architecture in machine_code.figures(code).items():
        for architecture, figures in by_architecture.items():
            assert figures[what] == 0, f"{kernel} on {architecture}"


def test_vectors_are_accessed_at_once(code: Code) -> None:
    for kernel, by_architecture in code.items():
        expected = WIDE.get(kernel.split()[0], set())
        for architecture, of in by_architecture.items():
            assert expected <= set(machine_code.wide(of)), f"{kernel} on {architecture}"
    assert {kernel.split()[0] for kernel in code} >= set(WIDE)


def test_listing() -> None:
    found = machine_code.parse(LISTING)
    figures = {"code": 0x60, "bytes": 1, "generic": 1}
    assert machine_code.figures(found) == {"reduce_terms": {"sm_90": figures}}
    of = found["reduce_terms"]["sm_90"]
    assert machine_code.wide(of) == {"LDG": 1, "LDS": 1}
    assert [tuple(hot) for hot in machine_code.loops(of)] == [("loop of 1 LDS", "LDS", 3)]
