"""Drawings: left, right and middle in their colours, as large as the person."""

import numpy as np
import pytest

from hhd.data.skeleton import Skeleton
from hhd.draw import LEFT, MIDDLE, RIGHT, draw_pose, legend

SKELETON = Skeleton(
    "s", ("l_hand", "r_hand", "nose"), (("l_hand", "r_hand"),), (("nose", "l_hand"),)
)
BLACK = np.zeros((400, 400, 3), np.uint8)


def test_left_and_right_have_their_colours():
    joints = np.array([[50.0, 200.0], [350.0, 200.0], [200.0, 60.0]])
    drawn = draw_pose(BLACK, joints, SKELETON)
    for (x, y), colour in zip(joints.astype(int), (LEFT, RIGHT, MIDDLE), strict=True):
        assert tuple(drawn[y, x]) == colour
    # A limb from the middle outwards is its side's.
    assert tuple(drawn[130, 125]) == LEFT
    assert not BLACK.any()


def test_dots_are_as_large_as_the_person_asks_for():
    small = np.array([[190.0, 200.0], [210.0, 200.0], [200.0, 190.0]])
    covered = [
        int(draw_pose(BLACK, 200 + (small - 200) * size, SKELETON).any(axis=2).sum())
        for size in (1, 9, 18)
    ]
    assert covered[0] < 220
    assert covered[1] > 1.4 * covered[0]
    assert covered[2] > 2 * covered[1]


@pytest.mark.parametrize("shown", [[True, False, True], None])
def test_what_is_not_shown_is_not_drawn(shown):
    joints = np.array([[50.0, 200.0], [350.0, 200.0], [np.nan, 60.0]])
    drawn = draw_pose(BLACK, joints, SKELETON, shown)
    assert drawn[200, 50].any()
    assert bool(drawn[200, 350].any()) == (shown is None)
    assert not draw_pose(BLACK, joints, SKELETON, [False] * 3).any()


def test_the_legend_breaks_its_lines():
    wide, narrow = legend(SKELETON, 600, numbered=True), legend(SKELETON, 90, numbered=True)
    assert wide.shape[1] == 600
    assert narrow.shape[0] > wide.shape[0]
    for colour in (LEFT, RIGHT, MIDDLE):
        assert (np.abs(wide.astype(int) - colour).sum(axis=2) < 30).any()
