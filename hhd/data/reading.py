"""What reading an annotation file gives: persons, what is left out, and what is wrong.

Training, evaluation and ``hhd data check`` read with the same code, so they refuse the same files:
the first two raise the first problem, the third prints them all.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hhd.data.person import Person
from hhd.files import is_file

LONGEST_FILE_NAME = 4096


class Problem(NamedTuple):
    """Why a file is refused: ``kind`` "annotation", "missing" or "picture", and a sentence."""

    kind: str
    text: str


@dataclass
class Reading:
    """Persons in the order of the file; ``left_out`` counts entries by the reason why."""

    source: Path
    persons: list[Person] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def require(self) -> list[Person]:
        """The persons, one at least; the first problem is raised, as what it is."""
        if not self.persons and not self.problems:
            self.problems.append(Problem("annotation", self.nobody()))
        if self.problems:
            first, more = self.problems[0], len(self.problems) - 1
            text = first.text + (f" (and {more} more: hhd data check lists them)" if more else "")
            raise FileNotFoundError(text) if first.kind == "missing" else ValueError(text)
        return self.persons

    def nobody(self) -> str:
        """The sentence for a file without a person to use."""
        left = f" ({self.left_out_text()})" if self.left_out else ""
        return f"{self.source} has no person with a labelled joint to use{left}"

    def left_out_text(self) -> str:
        """What was left out, with counts; empty if nothing was."""
        if not self.left_out:
            return ""
        return "left out: " + ", ".join(f"{n} {reason}" for reason, n in self.left_out.items())


def picture_path(folder: Path, name: str, where: str, outside: bool) -> Path | Problem:
    """The file called ``name`` in ``folder``; a problem if it does not exist.

    It must lie in the folder, whatever links and ``..`` lead there, unless ``outside``.
    """
    if len(name) > LONGEST_FILE_NAME:
        text = f"{where}: its file name has {len(name)} characters, more than any file's"
        return Problem("missing", text)
    path = folder / name
    if not is_file(path):
        return Problem("missing", f"{where}: image {path} does not exist")
    root = os.path.realpath(folder)
    if not outside and os.path.commonpath([root, os.path.realpath(path)]) != root:
        return Problem(
            "missing",
            f"{where}: image {path} lies outside of {folder}, by a link, .. or an absolute path; "
            "--images-outside true reads it all the same",
        )
    return path
