"""The sheet of a teacher's answers: who is on it, what its head says, and where its dots lie."""

import cv2
import numpy as np
import pytest

from hhd.data.affine import transform_points
from hhd.data.skeleton import Skeleton
from hhd.teach.sheet import (
    HEIGHT,
    Answer,
    confidence_colour,
    draw_sheet,
    headline,
    person_confidence,
    spread,
)

PAIR = Skeleton("pair", ("head", "left_foot"), (), (("head", "left_foot"),), (0.1,) * 2, "box", ())
CELLS_TO_CROP = np.array([[4, 0, 1.5], [0, 4, 1.5]])
HEAD = 52 + 18  # the head of the sheet and the person's caption


def answer(confidence=(0.9, 0.4), labels=None, unit=None):
    crop = np.full((96, 72, 3), 90, dtype=np.uint8)
    centers = np.array([[4.25, 5.5], [12.0, 17.75]])
    x, y = np.arange(18), np.arange(24)[:, None]
    maps = np.stack([np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 4.5) for cx, cy in centers])
    return Answer(
        "7", crop, maps.astype(np.float32), centers, np.array(confidence), CELLS_TO_CROP, labels,
        unit,
    )  # fmt: skip


def test_from_the_least_confident_to_the_most():
    # The zero is a joint that is not taught.
    confidence = [[0.9, 0.0], [0.1, 0.3], [0.5, 0.5], [0.7, 0.7], [0.3, 0.5]]
    np.testing.assert_allclose(person_confidence(confidence), [0.9, 0.2, 0.5, 0.7, 0.4])
    assert spread(confidence, 3) == [1, 2, 0]
    assert spread(confidence, 9) == [1, 4, 2, 3, 0]
    assert spread(confidence, 1) == [1]


def test_the_line_at_the_head():
    confidence = [[0.9, 0.0], [0.1, 0.3], [0.85, 1.0]]
    assert headline(confidence) == "3 persons, mean confidence 0.63"
    nothing = np.full((3, 2), np.nan)
    assert headline(confidence, nothing) == headline(confidence)
    distances = [[0.1, 0.1], [0.5, 0.2], [0.3, 0.0]]
    assert headline(confidence, distances) == (
        "3 persons, mean confidence 0.63; within .2 torso 60%, by confidence: "
        "0.0-0.2 0% of 1, 0.2-0.4 100% of 1, 0.8-1.0 67% of 3"
    )


def test_distances_are_in_units_to_the_labels():
    assert np.isnan(answer().distances()).all()
    places = transform_points(answer().centers, CELLS_TO_CROP)
    labels = places + np.array([[3, 4], [0, 10]])
    np.testing.assert_allclose(answer(labels=labels, unit=20).distances(), [0.25, 0.5])
    labels[1] = np.nan
    found = answer(labels=labels, unit=20).distances()
    np.testing.assert_allclose(found, [0.25, np.nan])
    assert np.isnan(answer(confidence=(0, 0.4), labels=labels, unit=20).distances()).all()


def colour_at(sheet, place):
    """The sheet's colour at a place in pixels of the first person's crop."""
    x, y = np.round((np.asarray(place) + 0.5) * HEIGHT / 96 - 0.5).astype(int)
    return tuple(int(v) for v in sheet[HEAD + y, x])


def test_dots_lie_on_the_joints_and_say_how_sure():
    one = answer()
    sheet = draw_sheet([one], PAIR, "a line")
    places = transform_points(one.centers, CELLS_TO_CROP)
    for place, confidence in zip(places, one.confidence, strict=True):
        assert colour_at(sheet, place) == confidence_colour(confidence)
    # The surer dot is larger.
    picture = sheet[HEAD : HEAD + HEIGHT, :288]
    sizes = [(picture == confidence_colour(c)).all(2).sum() for c in one.confidence]
    assert sizes[0] > 1.5 * sizes[1] > 0
    assert confidence_colour(0.9) != confidence_colour(0.4)


def test_what_is_not_taught_is_not_drawn():
    sheet = draw_sheet([answer(confidence=(0.9, 0))], PAIR, "a line")
    assert colour_at(sheet, transform_points(answer().centers, CELLS_TO_CROP)[1]) == (90, 90, 90)


def test_a_label_has_a_cross():
    places = transform_points(answer().centers, CELLS_TO_CROP)
    labels = places + np.array([[30, 0], [np.nan, 0]])
    sheet = draw_sheet([answer(labels=labels, unit=20)], PAIR, "a line")
    assert min(colour_at(sheet, labels[0])) > 200
    assert min(colour_at(sheet, (labels[0] + places[0]) / 2)) > 200


def test_a_panel_shows_the_map_around_the_joint():
    one = answer()
    sheet = draw_sheet([one], PAIR, "a line")
    panel = sheet[HEAD + 14 : HEAD + 14 + 78, 288 : 288 + 78]
    # The brightest block of the window is the peak's.
    values = cv2.cvtColor(panel, cv2.COLOR_BGR2GRAY)[3::6, 3::6].astype(int)
    window = one.maps[0, 0:13, 0:11]
    order = np.argsort(window.ravel())
    # The window's middle is the rounded centre (4, 6): two cells lie left of the map.
    inside = values[:, 2:13]
    assert inside.shape == window.shape
    assert inside.ravel()[order[-20:-4]].mean() > inside.ravel()[order[:60]].mean() + 40
    assert (values[:, :2] <= values.max() / 2).all()


def test_many_persons_and_none():
    one = draw_sheet([answer()], PAIR, "line")
    three = draw_sheet([answer()] * 3, PAIR, "line")
    assert three.shape[0] == 2 * one.shape[0] - 52
    assert three.dtype == np.uint8
    # A long line is not cut.
    assert draw_sheet([answer()], PAIR, "long " * 60).shape[1] > one.shape[1]
    with pytest.raises(ValueError, match="answers is empty; a sheet needs at least one person"):
        draw_sheet([], PAIR, "line")
