"""Left and right in joint names: which side a joint is on, and which joints mirror each other."""

from __future__ import annotations

import re
from collections.abc import Sequence

LEFT, RIGHT = "left", "right"
_SIDES = {"left": LEFT, "l": LEFT, "right": RIGHT, "r": RIGHT}
# leftEye, LEye, left_eye and eye-l in words: capitals before a capitalised word, words, numbers.
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def side_and_rest(name: str) -> tuple[str | None, str]:
    """The side that a joint's name says, and the name without it.

    A word left, right, l or r anywhere in it (``left_eye``, ``eye.L``, ``rKnee``), or left and
    right at its beginning or end (``lefteye``).
    """
    words = [word.lower() for word in _WORDS.findall(name)] or [name]
    sides = [i for i, word in enumerate(words) if word in _SIDES]
    if len(sides) == 1:
        rest = [word for i, word in enumerate(words) if i != sides[0]]
        return _SIDES[words[sides[0]]], "_".join(rest)
    for side in (LEFT, RIGHT):
        for i, word in enumerate(words):
            rest = word.removeprefix(side) if word.startswith(side) else word.removesuffix(side)
            if rest and rest != word:
                return side, "_".join([*words[:i], rest, *words[i + 1 :]])
    return None, "_".join(words)


def guess_flip_pairs(joints: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs (left, right) of joints whose names differ in the side alone (``lknee``, too)."""
    named = {side_and_rest(joint): joint for joint in joints}
    pairs = []
    for joint in joints:
        side, rest = side_and_rest(joint)
        if side == LEFT and named[LEFT, rest] == joint and (RIGHT, rest) in named:
            pairs.append((joint, named[RIGHT, rest]))
        elif side is None and joint.startswith(("l", "L")):
            other = ("r" if joint[0] == "l" else "R") + joint[1:]
            if other in joints:
                pairs.append((joint, other))
    return pairs


def sides(joints: Sequence[str], flip_pairs: Sequence[tuple[str, str]]) -> list[str | None]:
    """Each joint's side, None for the middle: by its name, else the first of a pair is left's."""
    known = {joint: side_and_rest(joint)[0] for joint in joints}
    for first, second in flip_pairs:
        if {known[first], known[second]} != {LEFT, RIGHT}:
            known[first], known[second] = LEFT, RIGHT
    mirrored = {joint for pair in flip_pairs for joint in pair}
    return [known[joint] if joint in mirrored else None for joint in joints]
