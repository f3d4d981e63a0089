"""Targets kept on disk: what a view gets of a stored patch, and what the store refuses."""

import numpy as np
import pytest
import torch

import hhd_kernels as hk
from hhd.data.affine import compose, crop_affine, flip_affine, transform_points
from hhd.data.targets import gaussian_maps
from hhd.teach.canonical import Stored, canonical_records, mean_width, targets_in_view, view_of
from hhd.teach.stored import FIELD
from hhd.teach.teachers import label_teacher
from hhd.train.losses import DistillationLoss
from hhd.train.recipe import load_recipe
from hhd.train.teacher import as_labels

PICTURE = 400
TEACHER, STUDENT = 64, 48
SIGMA = 2.0
ZOOM = STUDENT / TEACHER


def gaussians(points, size, sigma):
    coords = torch.tensor(points, dtype=torch.float32)
    return gaussian_maps(coords, torch.ones(coords.shape[:2]), size, sigma, "dark")[0]


def view(rng, flip):
    matrix = crop_affine(
        np.array([200.0, 210.0]) + rng.normal(0, 8, 2),
        np.array([300.0, 300.0]) * rng.uniform(0.8, 1.25),
        float(rng.uniform(-180, 180)),
        (STUDENT, STUDENT),
    )
    return compose(matrix, flip_affine(PICTURE)) if flip else matrix


def stored_in(records, views, orders):
    items = [
        view_of({name: array[i] for name, array in records.items()}, matrix, order)
        for i, (matrix, order) in enumerate(zip(views, orders, strict=True))
    ]
    return Stored(*(torch.from_numpy(np.stack([i[n] for i in items])) for n in Stored._fields))


@pytest.fixture
def looked_at():
    """Persons whose joints lie inside the picture, the teacher's map of each, and its matrix."""
    rng = np.random.default_rng(0)
    points = rng.uniform(120, 280, (24, 5, 2))
    to_cells = np.stack(
        [
            crop_affine([200.0, 205.0], [320.0, 320.0], float(angle), (TEACHER, TEACHER))
            for angle in rng.uniform(-180, 180, 24)
        ]
    )
    cells = np.stack([transform_points(p, m) for p, m in zip(points, to_cells, strict=True)])
    return points, to_cells, gaussians(cells, (TEACHER, TEACHER), SIGMA)


@pytest.mark.parametrize("preset", ["kl", "published"])
@pytest.mark.parametrize("flip", [False, True])
def test_a_view_of_a_patch_is_what_the_teacher_would_answer_there(looked_at, preset, flip):
    points, to_cells, maps = looked_at
    criterion = hk.HHDLoss() if preset == "kl" else hk.HHDLoss.published()
    rng = np.random.default_rng(1)
    views = [view(rng, flip) for _ in points]
    order = [1, 0, 3, 2, 4]
    stored = stored_in(canonical_records(maps, to_cells), views, [order if flip else None] * 24)
    found = targets_in_view(stored, (STUDENT, STUDENT), criterion._target, ZOOM)

    seen = np.stack([transform_points(p, m) for p, m in zip(points, views, strict=True)])
    if flip:
        seen = seen[:, order]
    wanted = criterion.targets(gaussians(seen, (STUDENT, STUDENT), SIGMA * ZOOM))
    inside = ((seen >= 0) & (seen <= STUDENT - 1)).all(-1)
    assert inside.mean() > 0.8
    # A centre between two cells may be rounded either way.
    clear = inside & (abs(seen - np.floor(seen) - 0.5) > 0.06).all(-1)
    # Near the border a teacher's map loses what lies outside, and a stored patch does not.
    clear &= ((seen > 4) & (seen < STUDENT - 5)).all(-1)
    assert clear.mean() > 0.6
    torch.testing.assert_close(found.centers[clear], wanted.centers[clear])
    scale = wanted.windows[clear].amax()
    # Between four cells bilinear reading flattens a peak of sigma 2 by 1 / (4 sigma^2).
    assert (found.windows[clear] - wanted.windows[clear]).abs().amax() < 0.075 * scale
    assert (found.windows[clear] - wanted.windows[clear]).abs().mean() < 0.012 * scale
    peaks = maps.amax((2, 3))[:, order] if flip else maps.amax((2, 3))
    torch.testing.assert_close(found.confidence[clear], peaks[clear])


def test_a_joint_off_the_view_is_not_taught(looked_at):
    _, to_cells, maps = looked_at
    far = [crop_affine([1000.0, 205.0], [300.0, 300.0], 0.0, (STUDENT, STUDENT))] * 24
    stored = stored_in(canonical_records(maps, to_cells), far, [None] * 24)
    found = targets_in_view(stored, (STUDENT, STUDENT), hk.HHDLoss()._target, ZOOM)
    assert (found.confidence == 0).all()
    assert torch.isfinite(found.windows).all()


def test_what_lies_outside_of_the_patch_counts_as_rest(looked_at):
    """A second peak far away takes its share of the mass."""
    _, to_cells, maps = looked_at
    both = maps.clone()
    both[:, :, 40:, 40:] = torch.maximum(both[:, :, 40:, 40:], maps[:, :, 40:, 40:])
    away = gaussians(np.full((24, 5, 2), 5.0), (TEACHER, TEACHER), SIGMA)
    both = torch.maximum(maps, 0.9 * away)
    views = [compose(np.array([[ZOOM, 0, 0], [0, ZOOM, 0]]), m) for m in to_cells]
    alone, shared = (
        targets_in_view(
            stored_in(canonical_records(m, to_cells), views, [None] * 24),
            (STUDENT, STUDENT),
            hk.HHDLoss()._target,
            ZOOM,
        ).windows.sum((2, 3))
        for m in (maps, both)
    )
    assert 0.85 < alone.median() < 1
    assert abs(shared.median() / alone.median() - 1 / 1.9) < 0.03


def test_values_below_the_floor_count_as_nothing(looked_at):
    _, to_cells, maps = looked_at
    noisy = maps.clamp_min(0.05)
    kept = canonical_records(noisy, to_cells, floor=0.1)
    clean = canonical_records(maps, to_cells, floor=0.1)
    np.testing.assert_allclose(kept["masses"], clean["masses"], rtol=1e-5)
    assert (canonical_records(noisy, to_cells)["masses"] > 5 * kept["masses"]).all()


def test_the_width_is_measured(looked_at):
    _, to_cells, maps = looked_at
    total, joints = mean_width(canonical_records(maps, to_cells), 0.5)
    assert abs(total / joints - SIGMA) < 0.05
    assert mean_width(canonical_records(0 * maps, to_cells), 0.0) == (0.0, 0)


@pytest.mark.parametrize("patch", [1, 8, 19])
def test_a_patch_is_nothing_beyond_the_map(patch):
    """In the very corners, too, and of a map that is smaller than the patch."""
    maps = torch.rand(1, 4, 9, 7)
    for joint, (y, x) in enumerate([(0, 0), (8, 6), (0, 6), (4, 3)]):
        maps[0, joint, y, x] = 2.0
    records = canonical_records(maps, np.eye(2, 3)[None], patch=patch)
    middles = np.floor(records["centers"][0] + 0.5).astype(int)
    for whole, (x, y), found in zip(maps[0].numpy(), middles, records["patches"][0], strict=True):
        wide = np.pad(np.sqrt(whole / whole.max()), patch)
        top, left = y + patch - patch // 2, x + patch - patch // 2
        window = np.round(255 * wide[top : top + patch, left : left + patch])
        np.testing.assert_array_equal(found, window)


def test_a_map_of_zeros_is_no_answer():
    records = canonical_records(torch.zeros(2, 3, 16, 16), np.stack([np.eye(2, 3)] * 2))
    stored = stored_in(records, [np.eye(2, 3)] * 2, [None] * 2)
    found = targets_in_view(stored, (16, 16), hk.HHDLoss()._target, 1.0)
    assert (found.confidence == 0).all()
    assert torch.isfinite(found.windows).all()


def test_a_teachers_joints_alone_teach_as_labels_would():
    """Of a wide, lopsided answer the place is left, between the cells, and the confidence."""
    size, coords = (48, 48), torch.tensor([[[20.3, 11.8], [30.0, 31.5]]])
    maps = 0.6 * gaussians(coords, size, 3.0) + 0.2 * gaussians(coords + 6, size, 1.0)
    recipe = load_recipe("lspet_kl", teacher=None, targets="folder", teacher_shape="gaussian")
    criterion = DistillationLoss(recipe, size)
    peaks = torch.tensor([[0.6, 0.0]])

    def stored(batch, images):
        return criterion.targets(maps)._replace(confidence=peaks)

    batch = {FIELD + "centers": coords, "coords": coords, "weight": torch.ones(1, 2)}
    found = as_labels(stored, size, 1.5, criterion)(batch, None)
    by_label = label_teacher(size, 1.5)(batch, None)
    expected = criterion.targets(by_label)
    torch.testing.assert_close(found.windows[:, 0], expected.windows[:, 0])
    torch.testing.assert_close(found.centers[:, 0], expected.centers[:, 0])
    assert torch.equal(found.confidence, peaks)
    assert not found.windows[:, 1].any()
