"""Argument checks: one sentence that names the argument, what it got and what it takes.

They read only metadata (no tensor operation, no host sync), so they are cheap and can be traced.
"""

import functools
import sys
from collections.abc import Callable
from enum import IntEnum
from numbers import Integral, Real
from typing import Any, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

from hhd_kernels import options

Options = ParamSpec("Options")
Result = TypeVar("Result")
_PLAIN = (int, float, str, bool)
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_CODES: dict[type[IntEnum], dict[str, int]] = {
    kind: {member.name.lower(): int(member) for member in kind}
    for kind in (
        options.Normalize,
        options.Divergence,
        options.Locate,
        options.Refine,
        options.Sampling,
        options.Border,
        options.CoordinateLoss,
        options.Reduction,
    )
}


def remembered(check: Callable[Options, Result]) -> Callable[Options, Result]:
    """A check of options that knows those again which it has let through, by value and type.

    Checking a dozen takes as long as a map. Other values than plain ones might change.
    """
    known: Callable[Options, Result] = cast(
        Any, functools.lru_cache(maxsize=1024, typed=True)(check)
    )

    @functools.wraps(check)
    def checked(*args: Options.args, **options: Options.kwargs) -> Result:
        plain = all(type(value) in _PLAIN for value in (*args, *options.values()))
        if plain and not torch.compiler.is_compiling():
            return known(*args, **options)
        return check(*args, **options)

    return checked


def tensor(name: str, value: Any) -> None:
    """Raise unless `value` is a floating-point tensor the ops can read."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; it takes a torch.Tensor")
    if value.layout != torch.strided or value.is_nested:
        layout = "nested" if value.is_nested else str(value.layout).removeprefix("torch.")
        raise ValueError(f"{name} is a {layout} tensor; it takes a strided one")
    if value.dtype not in FLOATS:
        raise TypeError(
            f"{name} has dtype {value.dtype}; it takes float16, bfloat16, float32 or float64"
        )


def maps(name: str, value: Any) -> None:
    """Raise unless `value` is a batch of maps, [B, K, H, W] with at least one pixel each."""
    tensor(name, value)
    if value.dim() != 4:
        raise ValueError(f"{name} has shape {list(value.shape)}; it takes maps [B, K, H, W]")
    if value.shape[2] < 1 or value.shape[3] < 1:
        raise ValueError(f"{name} has shape {list(value.shape)}; H and W must be at least 1")


def like(name: str, value: Any, like_name: str, like: Tensor, *tail: int) -> None:
    """Raise unless `value` is [B, K, *tail], with B, K and the device of the tensor `like`."""
    tensor(name, value)
    if value.shape != (*like.shape[:2], *tail):
        raise ValueError(
            f"{name} has shape {list(value.shape)}; it takes {[*like.shape[:2], *tail]}"
            f" beside {like_name} of shape {list(like.shape)}"
        )
    _same_device(name, value, like_name, like)


def _same_device(name: str, value: Tensor, like_name: str, like: Tensor) -> None:
    if value.device != like.device:
        raise ValueError(f"{name} is on {value.device}; it takes {like.device}, as {like_name} has")


def ordinary(value: Any) -> Any:
    """A tensor that no derivative is asked of, and one made under inference_mode as one that
    autograd may save, where it would."""
    if not isinstance(value, Tensor):
        return value
    if value.requires_grad:
        value = value.detach()
    if (
        not torch.compiler.is_compiling()
        and value.is_inference()
        and not torch.is_inference_mode_enabled()
    ):
        return value.clone()
    return value


def weight(name: str, value: Any, like_name: str, like_: Tensor) -> Tensor:
    """A weight per joint, [B, K]; bools and integers become float32."""
    if isinstance(value, Tensor) and not (value.is_floating_point() or value.is_complex()):
        value = value.to(torch.float32)
    like(name, value, like_name, like_)
    result: Tensor = ordinary(value)
    return result


def scalar(name: str, value: Any, like_name: str, like: Tensor) -> None:
    """Raise unless `value` is a scalar tensor on the device of the tensor `like`."""
    tensor(name, value)
    if value.dim() != 0:
        raise ValueError(f"{name} has shape {list(value.shape)}; it takes a scalar tensor, []")
    _same_device(name, value, like_name, like)


def choice(name: str, value: Any, kind: type[IntEnum]) -> int:
    """The integer an op takes for the choice called `value`."""
    codes = _CODES[kind]
    if not isinstance(value, str) or value not in codes:
        raise ValueError(f"{name} is {value!r}; it takes one of {', '.join(map(repr, codes))}")
    return codes[value]


# Beyond 1e30 a product of two numbers is nothing that float32 holds. The sentences are constants
# because torch.compile traces these checks.
LARGEST = 1e30
FLOAT_MAX = sys.float_info.max
_POSITIVE = "a positive number up to 1e30"
_NON_NEGATIVE = "a number from 0 to 1e30"
_SHARE = "a number from 0 below 1"


def number(name: str, value: Any, takes: str) -> float:
    """A real number, of Python or NumPy, as a float."""
    if not isinstance(value, (int, float, Real)) or isinstance(value, bool):
        raise TypeError(f"{name} is a {type(value).__name__}; it takes {takes}")
    if isinstance(value, int) and not -FLOAT_MAX <= value <= FLOAT_MAX:
        raise ValueError(f"{name} is no number that a float holds; it takes {takes}")
    return float(value)


def positive(name: str, value: Any) -> float:
    """A positive number as a float."""
    result = number(name, value, _POSITIVE)
    if not 0 < result <= LARGEST:
        raise ValueError(f"{name} is {value}; it takes {_POSITIVE}")
    return result


def non_negative(name: str, value: Any) -> float:
    """A number >= 0 as a float."""
    result = number(name, value, _NON_NEGATIVE)
    if not 0 <= result <= LARGEST:
        raise ValueError(f"{name} is {value}; it takes {_NON_NEGATIVE}")
    return result


def share(name: str, value: Any) -> float:
    """A number from 0 below 1 as a float."""
    result = number(name, value, _SHARE)
    if not 0 <= result < 1:
        raise ValueError(f"{name} is {value}; it takes {_SHARE}")
    return result


def window(name: str, value: Any) -> tuple[int, int]:
    """A window's (rows, columns), each from 1 to 999; an integer is the side of a square."""
    if _is_size(value):
        return int(value), int(value)
    if (
        not isinstance(value, (tuple, list))
        or len(value) != 2
        or not all(_is_size(size) for size in value)
    ):
        raise ValueError(
            f"{name} is {_shown(value)}; it takes (rows, columns) or a side, integers from 1 to 999"
        )
    return int(value[0]), int(value[1])


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # more digits than Python prints
        return f"a {type(value).__name__} too large to show"


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, (int, Integral))
        and not isinstance(value, bool)
        and 1 <= int(value) <= 999
    )


def odd(name: str, value: Any) -> int:
    """An odd integer from 1 to 999."""
    if not _is_size(value) or value % 2 == 0:
        raise ValueError(f"{name} is {_shown(value)}; it takes an odd integer from 1 to 999")
    return int(value)
