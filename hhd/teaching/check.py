"""What a folder of targets says, on a sheet and in a line: to look at before training on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hhd.data.affine import box_to_crop, compose, crop_affine, invert, transform_points
from hhd.data.dataset import read_image
from hhd.data.person import Person
from hhd.data.skeleton import Skeleton
from hhd.draw import write_picture
from hhd.evaluation.pck import units
from hhd.teach.networks import TeacherNetwork
from hhd.teach.sheet import Answer, draw_sheet, headline, spread
from hhd.teach.store import TargetStore
from hhd.teach.viewer import Looking
from hhd.teach.views import look

SIDE = 256


def write_check(
    file: Path,
    networks: Sequence[TeacherNetwork],
    store: TargetStore,
    persons: Sequence[Person],
    looking: Looking,
    count: int,
) -> str:
    """Draw ``count`` persons, from the least to the most confident; the line over all of them.

    What the store holds is compared with the labels; the maps are those of a fresh look.
    """
    skeleton = networks[0].skeleton
    records = [store.read(person) for person in persons]
    confidence = np.stack([record["peaks"] for record in records]).astype(np.float64)
    found = np.stack([transform_points(r["centers"], invert(r["to_cells"])) for r in records])
    unit = units(persons, skeleton)
    apart = distances(found, persons, unit)
    line = headline(confidence, apart, skeleton.normaliser_name())
    chosen = spread(confidence, count)
    answers = [
        _answer(networks, persons[i], looking, records[i], float(unit[i]), skeleton) for i in chosen
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_picture(file, draw_sheet(answers, skeleton, line))
    return line


def distances(
    found: NDArray[np.float64], persons: Sequence[Person], unit: NDArray[np.float64]
) -> NDArray[np.float64]:
    """From places [N, K, 2] in the pictures to the labels, in each person's ``unit`` [N]; NaN where
    there is no label or no unit."""
    truth = np.stack([person.keypoints for person in persons])
    apart = np.linalg.norm(found - truth[..., :2], axis=2) / unit[:, None]
    return np.where(truth[..., 2] > 0, apart, np.nan)


def _answer(
    networks: Sequence[TeacherNetwork],
    person: Person,
    looking: Looking,
    record: dict[str, NDArray[np.float64]],
    unit: float,
    skeleton: Skeleton,
) -> Answer:
    picture = read_image(person)
    seen = look(networks, picture, person, looking)
    center, size = box_to_crop(person.box, 1.0, 1.25)
    matrix = crop_affine(center, size, 0.0, (SIDE, SIDE))
    labelled = person.keypoints[:, 2] > 0
    labels = transform_points(person.keypoints[:, :2], matrix)
    return Answer(
        f"{person.annotation_id}",
        np.asarray(cv2.warpAffine(picture, matrix, (SIDE, SIDE)), dtype=np.uint8),
        seen.maps.cpu().numpy(),
        record["centers"].astype(np.float64),
        record["peaks"].astype(np.float64),
        compose(matrix, invert(record["to_cells"])),
        np.where(labelled[:, None], labels, np.nan) if labelled.any() else None,
        None if np.isnan(unit) else unit * SIDE / float(size[0]),
    )
