"""Which of a COCO-style file's categories are the skeleton's persons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hhd.data import fields
from hhd.data.skeleton import Skeleton
from hhd.text import shown

PERSON = "person"


def chosen_categories(
    content: dict[str, Any], path: Path, skeleton: Skeleton, wanted: str | None
) -> tuple[dict[int, str], dict[int, str]]:
    """Names by id of the file's categories, and of those to read.

    ``wanted``: a name or an id. Else those whose ``keypoints`` are the skeleton's; in a file that
    names no joints the only category, or the one called person. A file without categories has the
    single one that its annotations give. ``ValueError`` where that leaves none, or a choice.
    """
    declared: dict[int, str] = {}
    joints: dict[int, list[str]] = {}
    for number, category in enumerate(content["categories"]):
        where = f"categories[{number}] of {path}"
        own = fields.whole(category, "id", where)
        declared[own] = str(category.get("name", own))
        joints[own] = fields.names(category, "keypoints", where)
    if not declared:
        return _undeclared(content, path)
    if wanted is not None:
        chosen = [i for i, name in declared.items() if wanted == str(i)] or [
            i for i, name in declared.items() if fields.plain(name) == fields.plain(wanted)
        ]
        if not chosen:
            raise ValueError(f"{path}: category is {shown(wanted)}; it has {_listed(declared)}")
    else:
        chosen = _matching(declared, joints, path, skeleton)
    for own in chosen:
        if joints[own] and not _same(joints[own], skeleton):
            raise ValueError(
                f"{path}: the joints of category {shown(declared[own])} are not those of skeleton "
                f"{skeleton.name}: {difference(joints[own], skeleton)}"
            )
    return declared, {own: declared[own] for own in chosen}


def _undeclared(content: dict[str, Any], path: Path) -> tuple[dict[int, str], dict[int, str]]:
    own = {a["category_id"] for a in content["annotations"] if type(a.get("category_id")) is int}
    if len(own) > 1:
        raise ValueError(
            f"{path} declares no categories, and its annotations are of {len(own)} of them"
        )
    found = dict.fromkeys(own, PERSON) or {1: PERSON}
    return found, found


def _matching(
    declared: dict[int, str], joints: dict[int, list[str]], path: Path, skeleton: Skeleton
) -> list[int]:
    named = [own for own in declared if joints[own]]
    same = [own for own in named if _same(joints[own], skeleton)]
    if same:
        return same
    if len(named) > 1:
        raise ValueError(
            f"{path}: no category has the joints of skeleton {skeleton.name}: "
            + "; ".join(f"{shown(declared[i])}: {difference(joints[i], skeleton)}" for i in named)
        )
    if named or len(declared) == 1:
        return named or list(declared)
    persons = [own for own, name in declared.items() if fields.plain(name) == PERSON]
    if len(persons) == 1:
        return persons
    raise ValueError(
        f"{path} has the categories {_listed(declared)} and names no joints: "
        "choose one with --category"
    )


def _listed(declared: dict[int, str]) -> str:
    return ", ".join(f"{own} ({shown(name)})" for own, name in list(declared.items())[:20])


def _same(joints: list[str], skeleton: Skeleton) -> bool:
    return [fields.plain(name) for name in joints] == [
        fields.plain(name) for name in skeleton.joints
    ]


def difference(joints: list[str], skeleton: Skeleton, most: int = 3) -> str:
    """What differs between a file's joint names and the skeleton's, in a line."""
    if len(joints) != len(skeleton):
        known, there = ({fields.plain(n) for n in names} for names in (skeleton.joints, joints))
        absent = [shown(n) for n in skeleton.joints if fields.plain(n) not in there][:most]
        extra = [shown(n) for n in joints if fields.plain(n) not in known][:most]
        text = f"it has {len(joints)} joints, the skeleton {len(skeleton)}"
        text += f"; it lacks {', '.join(absent)}" if absent else ""
        return text + (f"; the skeleton lacks {', '.join(extra)}" if extra else "")
    pairs = [
        f"joint {i} is {shown(own)}, the skeleton's {shown(theirs)}"
        for i, (own, theirs) in enumerate(zip(joints, skeleton.joints, strict=True))
        if fields.plain(own) != fields.plain(theirs)
    ]
    more = len(pairs) - most
    return "; ".join(pairs[:most]) + (f"; and {more} more" if more > 0 else "")
