"""Repairs to Triton's interpreter, for a process that has TRITON_INTERPRET=1."""

from typing import Any

import numpy as np
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor
from triton.runtime import interpreter

from hhd_kernels.triton import launch

MAPS_OF_A_PROGRAM = 32
"""1: as many as on a GPU."""


def repair() -> None:
    """Round to bfloat16 as GPUs do, and interpret many times faster."""
    _round_to_nearest_even()
    _number_of_one_element()
    _splat_of_a_comparison()
    _patch_once_a_launch()
    _few_programs()


def _few_programs() -> None:
    """Give a program as many maps as there are: what costs time here is programs, not pixels."""
    tile = launch.tile

    def wide_tile(maps: Tensor) -> dict[str, Any]:
        block = tile(maps)
        if block["WHOLE"] and MAPS_OF_A_PROGRAM > 1:
            count = triton.next_power_of_2(max(1, maps.shape[0] * maps.shape[1]))
            block["G"] = max(block["G"], min(count, MAPS_OF_A_PROGRAM))
        return block

    launch.tile = wide_tile


def _round_to_nearest_even() -> None:
    """The interpreter cuts the lower bits off, where every GPU rounds to the nearest even."""
    convert = interpreter._convert_float

    def rounded(source: NDArray[Any], of: Any, to: Any, rounding: Any) -> NDArray[Any]:
        if (of, to) != (tl.float32, tl.bfloat16):
            return convert(source, of, to, rounding)
        bits = np.ascontiguousarray(source).view(np.uint32)
        nearest = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
        # A NaN's payload must not carry into its exponent.
        return np.where(np.isnan(source), np.uint32(0x7FC0), nearest).astype(np.uint16)

    interpreter._convert_float = rounded


def _number_of_one_element() -> None:
    """A `range` of a kernel's: Triton before 3.9 asks NumPy from 2.4 for what it refuses."""
    patch = interpreter._patch_lang_tensor

    def patched(tensor: Any, scope: Any) -> None:
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    interpreter._patch_lang_tensor = patched


def _splat_of_a_comparison() -> None:
    """The interpreter says that a comparison has its operands' dtype, and splats it as such."""

    def splat(self: Any, result: Any, scalar: Any) -> Any:
        data = np.full(result.shape, scalar.data, dtype=scalar.data.dtype)
        return interpreter.TensorHandle(data, scalar.dtype.scalar)

    interpreter.InterpreterBuilder.create_splat = splat


def _patch_once_a_launch() -> None:
    """Every call between jitted functions would patch `triton.language` again, for half a ms."""
    patch, run = interpreter._patch_lang, interpreter.GridExecutor.__call__
    patched: set[int] = set()

    def launch(self: Any, *arguments: Any, **options: Any) -> None:
        patched.clear()
        run(self, *arguments, **options)

    def patch_once(function: Any) -> Any:
        module = id(function.__globals__)
        if module in patched:
            return interpreter._LangPatchScope()
        patched.add(module)
        return patch(function)

    interpreter.GridExecutor.__call__ = launch
    interpreter._patch_lang = patch_once
