"""Checks of numbers that users and files give; the ``ValueError`` says what each takes."""

from __future__ import annotations

from math import inf
from typing import Any


def check_positive(name: str, value: Any) -> None:
    """A finite number above 0."""
    if not (_is_number(value) and 0 < value < inf):
        raise ValueError(f"{name} is {value}; it takes a positive number")


def check_from_zero(name: str, value: Any) -> None:
    """A finite number from 0 up."""
    if not (_is_number(value) and 0 <= value < inf):
        raise ValueError(f"{name} is {value}; it takes a number from 0 up")


def check_share(name: str, value: Any) -> None:
    """A number from 0 to 1."""
    if not (_is_number(value) and 0 <= value <= 1):
        raise ValueError(f"{name} is {value}; it takes a share from 0 to 1")


def check_sizes(name: str, value: Any, count: int | None = None) -> None:
    """A tuple of positive whole numbers, ``count`` of them."""
    whole = isinstance(value, tuple) and all(type(side) is int and side > 0 for side in value)
    if not whole or count not in (None, len(value)):
        got = list(value) if isinstance(value, tuple) else value
        wanted = "" if count is None else f"{count} "
        raise ValueError(f"{name} is {got}; it takes {wanted}positive whole numbers")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
