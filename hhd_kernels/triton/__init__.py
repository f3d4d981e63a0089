"""The ops in Triton, as `torch.ops.hhd_triton`: NVIDIA and AMD GPUs, and Triton's interpreter.

The family has the schemas, shapes and derivatives of `torch.ops.hhd`, taken from the same files,
and needs no compiled library. Kernels, and Triton with them, are imported by the first call.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

from hhd_kernels import _library

NAMESPACE = "hhd_triton"

_definitions = torch.library.Library(NAMESPACE, "DEF")


def _from_its_file(op: str, file: str) -> Callable[..., Any]:
    """The op's implementation, looked up when it is called."""

    def run(*arguments: Any) -> Any:
        return getattr(import_module(file), op)(*arguments)

    return run


def register() -> None:
    """Define every op that the files of `hhd_kernels` have recorded."""
    for op, function in _library.FAKES.items():
        mutated = ("grad",) if op.endswith("_") else ()
        schema = torch.library.infer_schema(function, mutates_args=mutated, op_name=op)
        _definitions.define(schema)
        file = function.__module__.replace("hhd_kernels.", f"{__name__}.")
        _definitions.impl(op, _from_its_file(op, file), "CompositeExplicitAutograd")
    _library.register_python_half(_definitions, NAMESPACE)
