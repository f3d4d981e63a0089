"""Augmentations of the finished crop."""

import random

import numpy as np

from hhd.data.transforms import colour_and_cutout


def crop():
    image = np.random.default_rng(0).integers(20, 230, (96, 72, 3), dtype=np.uint8)
    return image, np.array([[10.0, 20.0]]), np.array([True])


def test_colours_move_a_little_and_joints_do_not():
    image, points, visible = crop()
    covered = 0
    for seed in range(40):
        random.seed(seed)
        moved, same, still = colour_and_cutout(image.copy(), points, visible)
        assert same is points
        assert still is visible
        grey = (moved == 127).all(axis=2)
        hole = grey.sum() > 100
        covered += hole
        kept = np.abs(moved.astype(int) - image)[~grey]
        assert 0 < kept.mean() < 45
        if hole:
            rows, columns = np.nonzero(grey.sum(1) > 10)[0], np.nonzero(grey.sum(0) > 10)[0]
            assert 0.2 * 96 - 1 <= np.ptp(rows) + 1 <= 0.4 * 96 + 1
            assert 0.2 * 72 - 1 <= np.ptp(columns) + 1 <= 0.4 * 72 + 1
    assert 10 <= covered <= 30


def test_it_draws_from_the_seeded_stream():
    image, points, visible = crop()
    found = []
    for _ in range(2):
        random.seed(3)
        found.append(colour_and_cutout(image.copy(), points, visible)[0])
    assert np.array_equal(*found)
