"""Bugs planted in a copy of sources: each is an expression that a running program may take in place
of the right one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Bug(NamedTuple):
    """An expression of one file and what it is in its place."""

    name: str
    file: str
    place: str
    """The source around the expression, which its first `@` stands for: found once in the file."""
    right: str
    wrong: str
    found_by: str
    """Of `kernels.everyday.CASES`."""


def plant(bugs: Sequence[Bug], source: Path, copy: Path, choice: str) -> None:
    """Copy the files of `source` with all bugs, leaving alone what is already so.

    `choice` has {number}, the bug's place in the sequence from 1, {wrong} and {right}.
    """
    copy.mkdir(parents=True, exist_ok=True)
    for path in filter(Path.is_file, source.iterdir()):
        text = path.read_text()
        for number, bug in enumerate(bugs, 1):
            if bug.file == path.name:
                text = _planted(bug, text, choice.format(number=number, **bug._asdict()))
        target = copy / path.name
        if not target.exists() or target.read_text() != text:
            target.write_text(text)


def _planted(bug: Bug, text: str, chosen: str) -> str:
    right = bug.place.replace("@", bug.right, 1)
    if text.count(right) != 1:
        raise ValueError(f"{bug.file} has {text.count(right)} of {right!r}, for {bug.name!r}")
    return text.replace(right, bug.place.replace("@", chosen, 1))
