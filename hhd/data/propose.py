"""A skeleton file for one's own data, from what a COCO-style file says of its joints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from hhd.data import fields
from hhd.data.coco import coco_content
from hhd.data.sides import guess_flip_pairs, side_and_rest
from hhd.data.skeleton import OKS_SIGMA, Skeleton
from hhd.text import shown

INPUT_SIDES = (96, 128, 192, 256, 384)


@dataclass(frozen=True)
class Proposal:
    """A skeleton to be confirmed, what was guessed of it, and what the boxes ask for.

    ``unpaired`` are joints whose names say a side and whose mirror image is not there, ``left_out``
    tells of what could not be used;
    ``box`` is the median width and height in pixels, ``input_size`` what fits it.
    """

    skeleton: Skeleton
    unpaired: tuple[str, ...]
    persons: int
    labelled: tuple[int, ...]
    box: tuple[float, float] | None
    input_size: tuple[int, int]
    named: bool
    left_out: tuple[str, ...]


def propose_skeleton(annotations: Path, name: str, category: str | None = None) -> Proposal:
    """What ``annotations`` says: joints and limbs of the category that has joints, or of
    ``category`` (name or id) where several have; where none names them, ``joint_1`` and so on.

    Flip pairs are guessed from the names; sigmas, PCK's joints and, without shoulders and hips, its
    unit are the defaults of :class:`Skeleton`. ``ValueError`` where there are no keypoints.
    """
    content = coco_content(annotations)
    own, joints, limbs, given = _category(content, annotations, category)
    people = [a for a in content["annotations"] if own is None or a.get("category_id") == own]
    people = [a for a in people if isinstance(a.get("keypoints"), list) and a["keypoints"]]
    named = bool(joints)
    if not people:
        raise ValueError(f"{annotations} has no person with keypoints")
    if not named:
        counts = {len(a["keypoints"]) // 3 for a in people if len(a["keypoints"]) % 3 == 0}
        if len(counts) != 1:
            raise ValueError(
                f"{annotations} names no joints, and its annotations have "
                f"{sorted(counts) or 'no'} keypoints; it takes one number of them"
            )
        joints = [f"joint_{i + 1}" for i in range(counts.pop())]
    pairs = guess_flip_pairs(joints)
    paired = {joint for pair in pairs for joint in pair}
    skeleton = Skeleton(
        name,
        tuple(joints),
        tuple(pairs),
        tuple((joints[a], joints[b]) for a, b in limbs),
        pck_normaliser=_torso(joints) or "box",
    )
    return Proposal(
        skeleton,
        tuple(j for j in joints if side_and_rest(j)[0] is not None and j not in paired),
        len(people),
        _labelled(people, len(joints)),
        *_sizes(people),
        named,
        tuple(_left_out(people, len(joints), limbs, given)),
    )


def skeleton_text(skeleton: Skeleton) -> str:
    """The skeleton as a YAML file that says what its fields mean and what may be added."""
    lines = [
        f"name: {_yaml(skeleton.name)}",
        f"joints: {_yaml(list(skeleton.joints))}",
        "# Joints that change places in a mirrored picture; the person's left one first.",
        *_pairs("flip_pairs", skeleton.flip_pairs),
        "# Lines to draw.",
        *_pairs("limbs", skeleton.limbs),
        "# PCK's unit: the distance of two joints, or box, the longer side of the person's box.",
        f"pck_normaliser: {_yaml(_listed(skeleton.pck_normaliser))}",
        f"# May be added: sigmas (of OKS, one a joint; {OKS_SIGMA} each without them), pck_joints",
        "# (all), upper_body (for half-body crops), joint_weights.",
    ]
    return "\n".join(lines) + "\n"


def _category(
    content: dict[str, Any], path: Path, wanted: str | None
) -> tuple[int | None, list[str], list[tuple[int, int]], int]:
    """Id, joint names and limbs of the category whose joints these are, and how many limbs the file
    gives it."""
    found = []
    for number, category in enumerate(content["categories"]):
        where = f"categories[{number}] of {path}"
        own, joints = (
            fields.whole(category, "id", where),
            fields.names(category, "keypoints", where),
        )
        name = str(category.get("name", own))
        if wanted is None and not joints:
            continue
        if wanted is None or wanted in (str(own), name):
            pairs = category.get("skeleton")
            limbs = _limbs(pairs, len(joints), where)
            found.append((name, own, joints, limbs, len(pairs or ())))
    if not found and wanted is not None:
        names = [str(c.get("name", c.get("id"))) for c in content["categories"]]
        raise ValueError(f"{path}: category is {shown(wanted)}; it has {shown(names)}")
    if len(found) > 1:
        names = [f"{name} ({len(joints)} joints)" for name, _, joints, *_ in found]
        raise ValueError(f"{path} has joints of {', '.join(names)}: choose one with --category")
    if not found:
        return None, [], [], 0
    return found[0][1:]


def _limbs(given: Any, joints: int, where: str) -> list[tuple[int, int]]:
    """Pairs of joints from 0; files count them from 1, as COCO does, or from 0."""
    if not given:
        return []
    if not isinstance(given, list) or not all(
        isinstance(pair, list) and len(pair) == 2 and all(type(i) is int for i in pair)
        for pair in given
    ):
        raise ValueError(f"{where}: skeleton is {shown(given)}; it takes a list of pairs of joints")
    first = 0 if any(0 in pair for pair in given) else 1
    limbs = [(a - first, b - first) for a, b in given]
    # What an annotation tool left of joints that were deleted is no limb.
    return [(a, b) for a, b in limbs if 0 <= a < joints and 0 <= b < joints and a != b]


def _left_out(
    people: Sequence[dict[str, Any]], joints: int, limbs: Sequence[Any], given: int
) -> Iterator[str]:
    if len(limbs) < given:
        yield f"{given - len(limbs)} limbs of joints that are not there"
    if other := sum(len(a["keypoints"]) != 3 * joints for a in people):
        yield f"{other} persons whose keypoints are not {joints} times x, y, v"
    if without := sum(not a.get("bbox") for a in people):
        yield f"{without} persons without a box, which training needs"


def _torso(joints: Sequence[str]) -> tuple[str, str] | None:
    sides = {side_and_rest(joint): joint for joint in joints}
    shoulder, hip = sides.get(("left", "shoulder")), sides.get(("right", "hip"))
    return None if shoulder is None or hip is None else (shoulder, hip)


def _labelled(people: Sequence[dict[str, Any]], joints: int) -> tuple[int, ...]:
    """How often each joint is labelled."""
    flags = [a["keypoints"][2::3] for a in people if len(a["keypoints"]) == 3 * joints]
    return tuple(sum(flag in (1, 2) for flag in column) for column in zip(*flags, strict=True))


def _sizes(people: Sequence[dict[str, Any]]) -> tuple[tuple[float, float] | None, tuple[int, int]]:
    """The boxes' median width and height, and an input size of their shape: square, or three to
    four, as large as the padded boxes are."""
    boxes = [
        a["bbox"][2:] for a in people if isinstance(a.get("bbox"), list) and len(a["bbox"]) == 4
    ]
    if not boxes:
        return None, (256, 256)
    width, height = (float(side) for side in np.median(np.array(boxes, dtype=np.float64), axis=0))
    wanted = 1.25 * max(width, height)
    longer = min(INPUT_SIDES, key=lambda side: abs(np.log(side / max(wanted, 1.0))))
    shorter = round(longer * 0.75 / 32) * 32  # what every network takes
    ratio = height / max(width, 1e-9)
    if ratio > 1.15:
        return (width, height), (shorter, longer)
    return (width, height), (longer, shorter) if ratio < 1 / 1.15 else (longer, longer)


def _pairs(key: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{key}:", *(f"- {_yaml(list(pair))}" for pair in pairs)] if pairs else [f"{key}: []"]


def _listed(value: tuple[str, str] | str) -> list[str] | str:
    return value if isinstance(value, str) else list(value)


def _yaml(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=96, allow_unicode=True)
    return text.removesuffix("...\n").strip()
