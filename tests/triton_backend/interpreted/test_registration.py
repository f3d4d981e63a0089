"""The family of ops: opcheck on each, and what runs."""

import pytest
import torch

import hhd_kernels as hk
from kernels.test_contract_opcheck import (
    backward_calls,
    calls_without_derivative,
    forward_calls,
)

OTHERS = backward_calls() | calls_without_derivative()
CALLS = [
    *(("forward", name) for name in sorted(forward_calls())),
    *(("other", name) for name in sorted(OTHERS)),
]


@pytest.mark.parametrize(("kind", "name"), CALLS)
def test_opcheck(backend: str, kind: str, name: str) -> None:
    op, arguments = (forward_calls() if kind == "forward" else OTHERS)[name]
    if kind == "forward":
        arguments = (arguments[0].clone().requires_grad_(), *arguments[1:])
    # Dynamic shapes would compile a kernel for each, with which the interpreter has no business.
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    overload = getattr(torch.ops.hhd_triton, op).default
    result = torch.library.opcheck(overload, arguments, test_utils=tests)
    assert set(result.values()) == {"SUCCESS"}


def test_every_op_is_of_the_family() -> None:
    checked = {op for op, _ in (forward_calls() | OTHERS).values()}
    registered = {
        name.split("::")[1].split(".")[0]
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("hhd_triton::")
    }
    assert registered == checked


def test_explain_says_what_runs() -> None:
    with hk.use_backend("triton"):
        assert hk.explain("soft_argmax", torch.zeros(1, 1, 2, 2)).backend == "triton"
