"""Loads the compiled ops (`libhhd_kernels.so`, beside this file) and registers their Python half.

The library holds the schemas and the kernels of `torch.ops.hhd`; shape functions ("fakes") and
autograd formulas are in the op's Python file. They are recorded here, since another family of the
same ops (`hhd_kernels.triton`) has them too; without the library they are not registered.
"""

import ctypes
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

PATH = Path(__file__).with_name("libhhd_kernels.so")


def _load() -> str | None:
    if not PATH.is_file():
        return f"{PATH.name} is not beside the package (no C++ compiler when it was installed?)"
    try:
        torch.ops.load_library(str(PATH))
    except OSError as error:
        return f"{PATH.name} does not load into torch {torch.__version__}: {error}"
    return None


ERROR: str | None = _load()
"""Why the compiled ops are absent; None where they are loaded."""


def cpu_error() -> str | None:
    """Why the loaded library has no instruction set to run on the CPU; None if it has."""
    capability = ctypes.CDLL(str(PATH)).hhd_cpu_capability
    capability.restype = ctypes.c_char_p
    name: str = capability().decode()
    return name.removeprefix("error: ") if name.startswith("error: ") else None


def cuda_error() -> str | None:
    """Why the CUDA kernels are absent; None if they are built."""
    if ERROR is not None or has_kernels("CUDA"):
        return ERROR
    return f"built without CUDA kernels: {_build_info()['cuda_absent']}"


def cuda_architectures() -> tuple[str, ...]:
    """For which GPUs the CUDA kernels are built, such as sm_90 and compute_120; () without any."""
    built = _build_info().get("cuda_architectures", "") if has_kernels("CUDA") else ""
    return tuple(built.split())


def cuda_compiler() -> int | None:
    """The major version of the CUDA whose nvcc built the kernels; None without any."""
    built = _build_info().get("cuda_compiler", "") if has_kernels("CUDA") else ""
    found = re.search(r"(\d+)\.", built)
    return int(found[1]) if found else None


def _build_info() -> dict[str, Any]:
    describe = ctypes.CDLL(str(PATH)).hhd_build_info
    describe.restype = ctypes.c_char_p
    info: dict[str, Any] = json.loads(describe())
    return info


def has_kernels(dispatch_key: str) -> bool:
    """Whether the loaded library has kernels for a device, "CPU" or "CUDA"."""
    return ERROR is None and torch._C._dispatch_has_kernel_for_dispatch_key(
        "hhd::normalize", dispatch_key
    )


FAKES: dict[str, Callable[..., Any]] = {}
"""The function that gives an op's outputs without data; its signature is the op's."""
_FORMULAS: dict[str, tuple[Callable[..., Any], Callable[..., None] | None]] = {}
_CONSTANTS: list[str] = []


def fake(op: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: the function gives the op's outputs without data."""

    def record(function: Callable[..., Any]) -> Callable[..., Any]:
        FAKES[op] = function
        if ERROR is None:
            torch.library.register_fake(f"hhd::{op}", function)
        return function

    return record


def autograd(
    op: str, backward: Callable[..., Any], setup_context: Callable[..., None] | None = None
) -> None:
    """Register the op's derivative, `backward(ops, ctx, *grads)`; `ops` is the op's own family."""
    _FORMULAS[op] = backward, setup_context
    if ERROR is None:
        _register_autograd("hhd", op)


def _register_autograd(namespace: str, op: str) -> None:
    backward, setup_context = _FORMULAS[op]
    ops = getattr(torch.ops, namespace)
    torch.library.register_autograd(
        f"{namespace}::{op}",
        lambda ctx, *grads: backward(ops, ctx, *grads),
        setup_context=setup_context,
    )


_implementations = torch.library.Library("hhd", "IMPL") if ERROR is None else None


def no_derivative(op: str) -> None:
    """Make the op's outputs constants for autograd, at no cost per call."""
    _CONSTANTS.append(op)
    if _implementations is not None:
        _implementations.impl(op, torch.library.fallthrough_kernel, "Autograd")


def register_python_half(library: torch.library.Library, namespace: str) -> None:
    """Give another family, whose ops `library` has defined, what the files of the ops recorded."""
    for op, function in FAKES.items():
        torch.library.register_fake(f"{namespace}::{op}", function, lib=library)
    for op in _FORMULAS:
        _register_autograd(namespace, op)
    for op in _CONSTANTS:
        library.impl(op, torch.library.fallthrough_kernel, "Autograd")


def first_derivative_only(op: str) -> None:
    """Make a second derivative through `<op>_backward` an error that says what to do."""

    def refuse(ops: Any, ctx: Any, *grads: Any) -> None:
        raise RuntimeError(second_derivative(op))

    autograd(f"{op}_backward", refuse)


def second_derivative(op: str) -> str:
    """The message for a second derivative that no kernel computes."""
    return (
        f"hhd_kernels.{op}: second derivatives are not implemented in the fused kernels;"
        " use hhd_kernels.use_backend('reference')"
    )
