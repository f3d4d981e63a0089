"""Checks of numbers that users and files give; the ``ValueError`` says what each takes."""

from __future__ import annotations

from math import inf, isfinite
from typing import Any

from hhd.text import shown


def finite(value: Any) -> float | None:
    """A number as a float; None where it is none, not finite, or beyond a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None


def check_positive(name: str, value: Any, most: float = inf) -> None:
    """A finite number above 0, and up to ``most``."""
    number = finite(value)
    if number is None or number <= 0:
        raise ValueError(f"{name} is {shown(value)}; it takes a positive number")
    if number > most:
        raise ValueError(f"{name} is {shown(value)}; it takes a number up to {most:g}")


def check_from_zero(name: str, value: Any) -> None:
    """A finite number from 0 up."""
    number = finite(value)
    if number is None or number < 0:
        raise ValueError(f"{name} is {shown(value)}; it takes a number from 0 up")


def check_odd(name: str, value: Any) -> None:
    """An odd whole number from 1 to 999."""
    if type(value) is not int or not 1 <= value <= 999 or value % 2 == 0:
        raise ValueError(f"{name} is {shown(value)}; it takes an odd number from 1 to 999")


def check_finite(name: str, value: Any) -> None:
    """A finite number."""
    if finite(value) is None:
        raise ValueError(f"{name} is {shown(value)}; it takes a finite number")


def check_share(name: str, value: Any) -> None:
    """A number from 0 to 1."""
    number = finite(value)
    if number is None or not 0 <= number <= 1:
        raise ValueError(f"{name} is {shown(value)}; it takes a share from 0 to 1")


def check_sizes(name: str, value: Any, count: int | None = None, most: int = 1 << 11) -> None:
    """A tuple of whole numbers from 1 to ``most``, ``count`` of them."""
    whole = isinstance(value, tuple) and all(type(side) is int and side > 0 for side in value)
    if not whole or count not in (None, len(value)):
        got = list(value) if isinstance(value, tuple) else value
        wanted = "" if count is None else f"{count} "
        raise ValueError(f"{name} is {shown(got)}; it takes {wanted}positive whole numbers")
    if any(side > most for side in value):
        raise ValueError(f"{name} is {shown(list(value))}; it takes numbers up to {most}")
