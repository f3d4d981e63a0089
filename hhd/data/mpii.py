"""Read MPII: the JSON rows of HRNet and mmpose, the official .mat, and the files of head boxes.

MPII counts pixels from 1. A person's box is the square of ``scale`` * 200 pixels around ``center``,
moved down by 15 ``scale`` pixels so that limbs are not cut off; the crop then grows by 1.25 as
anywhere else (HRNet ``lib/dataset/mpii.py``, mmpose ``mpii_dataset.py``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hhd.data import fields
from hhd.data.person import Person
from hhd.data.reading import Problem, Reading, picture_path
from hhd.data.skeleton import Skeleton
from hhd.files import is_file, read_json
from hhd.text import one_line, shown

PIXEL_STD = 200
SHIFT_DOWN = 15
# The head box is looser than the head: PCKh's unit is this share of its diagonal.
SC_BIAS = 0.6
JOINTS = 16


class MpiiTruth(NamedTuple):
    """What PCKh is measured against: coords [N, 16, 2] in MPII's pixels (counted from 1), labelled
    [N, 16], and head size [N] in pixels, N persons in the order of the annotation file."""

    coords: NDArray[np.float64]
    labelled: NDArray[np.bool_]
    head_size: NDArray[np.float64]


def mpii_persons(
    annotations: Path, images: Path, skeleton: Skeleton, outside: bool = False
) -> Reading:
    """Persons of ``annot/*.json`` (HRNet), ``annotations/mpii_*.json`` (mmpose) or the official
    ``mpii_human_pose_v1_u12_1.mat``, in the order of the file, all of them: PCKh counts on it.

    Both JSON files have the same rows: image, center, scale and, but for the test set, joints and
    joints_vis. HRNet takes 1 from joints and centre, as here; mmpose 1.x from the centre alone, so
    that its labels lie one pixel right and below of these.
    """
    rows = _rows_of_mat(annotations) if annotations.suffix == ".mat" else _rows(annotations)
    if len(skeleton) != JOINTS:
        raise ValueError(
            f"annotation file {annotations} is MPII's: "
            f"skeleton {skeleton.name} has {len(skeleton)} joints, MPII has {JOINTS}"
        )
    reading = Reading(annotations)
    numbers: dict[str, int] = {}
    for index, row in enumerate(rows):
        where = f"person {index} of {annotations}"
        try:
            name = fields.text(row, "image", where)
            path = picture_path(images, name, where, outside)
            if isinstance(path, Problem):
                reading.problems.append(path)
            else:
                image_id = numbers.setdefault(name, len(numbers))
                reading.persons.append(_read_row(row, index, image_id, path, where))
        except ValueError as error:
            reading.problems.append(Problem("annotation", str(error)))
    return reading


def read_mpii(annotations: Path, images: Path, skeleton: Skeleton) -> list[Person]:
    """:func:`mpii_persons`; whatever is wrong with the file is an error that says where."""
    return mpii_persons(annotations, images, skeleton).require()


def _read_row(row: dict[str, Any], index: int, image_id: int, path: Path, where: str) -> Person:
    scale = _array(row, "scale", (), where)
    center = _array(row, "center", (2,), where)
    if not scale > 0:
        raise ValueError(f"{where}: scale is {scale}; it takes a positive number")
    # HRNet: a centre of -1 says that there is none.
    down = SHIFT_DOWN * scale if center[0] != -1 else 0.0
    side = float(scale * PIXEL_STD)
    x, y = center[0] - 1, center[1] + down - 1
    keypoints = np.zeros((JOINTS, 3))
    if "joints" in row:
        keypoints[:, :2] = _array(row, "joints", (JOINTS, 2), where) - 1
        keypoints[:, 2] = _array(row, "joints_vis", (JOINTS,), where) > 0
    box = (float(x) - side / 2, float(y) - side / 2, side, side)
    return Person(index, image_id, 1, path, None, None, box, keypoints)


def read_mpii_truth(path: Path) -> MpiiTruth:
    """From ``annot/gt_valid.mat`` (HRNet), ``annotations/mpii_gt_val.mat`` (mmpose) or the official
    .mat. Its joints are the reference: the JSON files lack some of them."""
    content = _load_mat(path)
    if "RELEASE" in content:
        rows = list(_rows_of_mat(path))
        corners = np.array([row["head_box"] for row in rows], dtype=np.float64)
        coords = np.array([row["joints"] for row in rows], dtype=np.float64)
        labelled = np.array([row["joints_vis"] for row in rows]) > 0
    else:
        missing = {"jnt_missing", "pos_gt_src", "headboxes_src"} - content.keys()
        if missing:
            raise ValueError(f"{path} lacks {', '.join(sorted(missing))}, which PCKh needs")
        corners = np.asarray(content["headboxes_src"], dtype=np.float64).transpose(2, 0, 1)
        coords = np.asarray(content["pos_gt_src"], dtype=np.float64).transpose(2, 0, 1)
        labelled = np.asarray(content["jnt_missing"]).T == 0
    head_size = SC_BIAS * np.linalg.norm(corners[:, 1] - corners[:, 0], axis=1)
    return MpiiTruth(coords, labelled, head_size)


def _rows(path: Path) -> list[dict[str, Any]]:
    rows = read_json(path, "annotation file")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise ValueError(
            f"annotation file {path} is neither COCO-style (an object) "
            "nor MPII's (a list of objects, one at least)"
        )
    return rows


def _array(
    row: dict[str, Any], key: str, shape: tuple[int, ...], where: str
) -> NDArray[np.float64]:
    if key not in row:
        raise ValueError(f"{where}: it lacks {key}")
    try:
        values = np.asarray(row[key], dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise ValueError(f"{where}: {key} is {shown(row[key])}; it takes numbers") from None
    if values.shape != shape or not (np.abs(values) <= fields.FAR).all():
        raise ValueError(
            f"{where}: {key} is {shown(row[key])}; it takes {list(shape)} numbers up to "
            f"{fields.FAR:g}"
        )
    return values


def _load_mat(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    if not is_file(path):
        raise FileNotFoundError(f"MPII file {path} does not exist")
    try:
        content: dict[str, Any] = loadmat(path, struct_as_record=False, squeeze_me=False)
    except Exception as error:  # scipy has classes of its own for what it cannot read
        raise ValueError(
            f"{path} is not a .mat file that scipy reads: {one_line(str(error))}"
        ) from error
    return content


def _rows_of_mat(path: Path) -> list[dict[str, Any]]:
    """The official annotation as the JSON's rows, with ``head_box`` beside them.

    Pictures of the training part (``img_train``), persons that have joints and a place.
    """
    content = _load_mat(path)
    if "RELEASE" not in content:
        raise ValueError(f"{path} is not MPII's official annotation: it lacks RELEASE")
    release = content["RELEASE"].flat[0]
    rows: list[dict[str, Any]] = []
    for picture, trains in zip(release.annolist.flat, release.img_train.flat, strict=True):
        if not trains:
            continue
        name = str(picture.image.flat[0].name.flat[0])
        rows += [
            {"image": name, **_person_of_mat(rectangle)}
            for rectangle in picture.annorect.flat
            if all(_has(rectangle, field) for field in ("annopoints", "objpos", "scale"))
        ]
    if not rows:
        raise ValueError(f"{path} has no annotated person")
    return rows


def _person_of_mat(rectangle: Any) -> dict[str, Any]:
    joints, labelled = np.full((JOINTS, 2), -1.0), np.zeros(JOINTS)
    for point in rectangle.annopoints.flat[0].point.flat:
        number = int(point.id.flat[0])
        joints[number], labelled[number] = (point.x.flat[0], point.y.flat[0]), 1
    place = rectangle.objpos.flat[0]
    x1, y1, x2, y2 = (float(getattr(rectangle, name).flat[0]) for name in ("x1", "y1", "x2", "y2"))
    return {
        "center": [float(place.x.flat[0]), float(place.y.flat[0])],
        "scale": float(rectangle.scale.flat[0]),
        "joints": joints,
        "joints_vis": labelled,
        "head_box": [[x1, y1], [x2, y2]],
    }


def _has(struct: Any, field: str) -> bool:
    return hasattr(struct, field) and np.size(getattr(struct, field)) > 0
