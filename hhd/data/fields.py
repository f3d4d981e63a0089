"""The one reader of what annotation files hold: numbers, flags, names.

Each error is a sentence that names the entry and the field, what it is and what it takes.
"""

from __future__ import annotations

import math
from typing import Any

from hhd.checks import finite
from hhd.text import shown

# No picture has more pixels in a row, so no place in one lies further out.
FAR = 1e6
FLAGS = {"0": False, "1": True, "false": False, "true": True}


def wrong(entry: dict[str, Any], key: str, where: str, takes: str) -> ValueError:
    """The error that says what ``entry[key]`` is, if anything, and what it takes."""
    got = f"{key} is {shown(entry[key])}" if key in entry else f"it lacks {key}"
    return ValueError(f"{where}: {got}; it takes {takes}")


def whole(entry: dict[str, Any], key: str, where: str) -> int:
    """A whole number of up to 64 bits, such as an id."""
    value = entry.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise wrong(entry, key, where, "an integer")
    return value


def text(entry: dict[str, Any], key: str, where: str) -> str:
    """A string."""
    value = entry.get(key)
    if not isinstance(value, str):
        raise wrong(entry, key, where, "a string")
    return value


def number(entry: dict[str, Any], key: str, where: str, *, most: float = math.inf) -> float | None:
    """A finite number of size ``most`` at most; None where there is none, or null."""
    if entry.get(key) is None:
        return None
    value = finite(entry[key])
    if value is None or abs(value) > most:
        raise wrong(entry, key, where, "a number" if most == math.inf else f"up to {most:g}")
    return value


def numbers(entry: dict[str, Any], key: str, where: str) -> list[float]:
    """A list of finite numbers; empty where there is none, or null."""
    values = entry.get(key)
    if values is None:
        return []
    read = [finite(value) for value in values] if isinstance(values, list) else [None]
    if None in read:
        raise wrong(entry, key, where, "a list of finite numbers")
    return [value for value in read if value is not None]


def flag(entry: dict[str, Any], key: str, where: str) -> bool:
    """0 or 1, false or true, also as a string; false where there is none, or null."""
    value = entry.get(key)
    if value is None:
        return False
    found = FLAGS.get(value.lower()) if isinstance(value, str) else None
    if finite(value) in (0, 1) or isinstance(value, bool):
        found = bool(value)
    if found is None:
        raise wrong(entry, key, where, "0 or 1")
    return found


def names(entry: dict[str, Any], key: str, where: str) -> list[str]:
    """A list of names, of which numbers are some; empty where there is none, or null."""
    values = entry.get(key)
    if values is None:
        return []
    if not isinstance(values, list) or not all(
        isinstance(value, (str, int)) and not isinstance(value, bool) for value in values
    ):
        raise wrong(entry, key, where, "a list of names")
    return [str(value) for value in values]


def plain(name: Any) -> str:
    """A name without case and punctuation, for comparison: "L Eye " and "l_eye" are the same."""
    words = "".join(c if c.isalnum() else " " for c in str(name).casefold()).split()
    return "_".join(words)
