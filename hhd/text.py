"""Text from files and from other people's errors, made fit for a line on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

LONGEST_NAME = 60


def printable(text: str) -> str:
    """``text`` with every control character but the line break spelt out, ``\\x1b``."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def one_line(text: str) -> str:
    """:func:`printable`, with each run of white space one blank."""
    return printable(" ".join(text.split()))


def shown(value: Any) -> str:
    """A value from a file as a message quotes it: its ``repr``, cut to ``LONGEST_NAME``."""
    try:
        text = printable(repr(value))
    except (ValueError, RecursionError):  # more digits, or deeper, than Python prints
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 3]}..."


def meant(word: str, known: Iterable[str]) -> str:
    """ "; did you mean ...?" with the nearest of ``known``, or nothing where none is near."""
    near = get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
