"""The options of the loss functions by name, for type checkers and for what `help` shows.

Their defaults are those of the functions that check them, `hhd_options` and `joint_options`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


class HHDLossOptions(TypedDict, total=False):
    """See `hhd_kernels.hhd_loss`."""

    beta: float
    normalize: str
    divergence: str
    locate: str
    sampling: str
    border: str
    reduction: str
    eps: float


class JointLossOptions(HHDLossOptions, total=False):
    """See `hhd_kernels.joint_loss`."""

    coordinate_loss: str
    coordinate_unit: float | str
    transition: float
    coordinate_weight: float
    hhd_weight: float


def shows_options(*checked_by: Callable[..., Any]) -> Callable[[Function], Function]:
    """Give a function's signature, in the place of `**options`, the parameters of others."""

    def show(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        options = [
            parameter.replace(kind=parameter.KEYWORD_ONLY)
            for check in checked_by
            for parameter in inspect.signature(check).parameters.values()
        ]
        shown = signature.replace(parameters=[*own, *options])
        function.__signature__ = shown  # type: ignore[attr-defined]
        return function

    return show
