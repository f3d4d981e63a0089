"""The oracle's values against numbers worked out by hand."""

import numpy as np
import pytest

import oracle
from oracle.locate import background_share


def delta(height: int, width: int, x: int, y: int, value: float = 1.0) -> np.ndarray:
    maps = np.zeros((1, 1, height, width))
    maps[0, 0, y, x] = value
    return maps


def test_normalize_by_hand() -> None:
    x = np.array([3.0, -4.0]).reshape(1, 1, 1, 2)
    assert oracle.normalize(x, "l1").ravel().tolist() == [3 / 7, -4 / 7]
    assert oracle.normalize(x, "l2").ravel().tolist() == [0.6, -0.8]
    assert oracle.normalize(x, "l1_positive").ravel().tolist() == [1.0, 0.0]
    assert oracle.normalize(x, "none").ravel().tolist() == [3.0, -4.0]
    uniform = oracle.normalize(x * 0, "softmax", beta=3.0)
    assert uniform.ravel().tolist() == [0.5, 0.5]
    assert not oracle.normalize(x * 0, "l2").any()


def test_soft_argmax_by_hand() -> None:
    logits = np.log(np.array([1.0, 2.0, 3.0, 4.0])).reshape(1, 1, 1, 4)
    coords, confidence = oracle.soft_argmax(logits, 1.0)
    assert coords.ravel() == pytest.approx([(2 + 6 + 12) / 10, 0.0])
    assert confidence.ravel() == pytest.approx([1.0])
    local, _ = oracle.soft_argmax(logits, 1.0, 3)
    assert local.ravel() == pytest.approx([2 + 4 / 7, 0.0])


def test_confidence_box_is_five_pixels_wide() -> None:
    coords, confidence = oracle.soft_argmax(np.zeros((1, 1, 1, 9)), 1.0)
    assert coords.ravel().tolist() == pytest.approx([4.0, 0.0])
    assert confidence.ravel() == pytest.approx([5 / 9])


def test_peak_takes_the_lowest_index_and_nan_gives_the_origin() -> None:
    tied = delta(4, 5, 3, 2) + delta(4, 5, 1, 3)
    assert oracle.locate_teacher(tied).ravel().tolist() == [3.0, 2.0]
    tied[0, 0, 0, 1] = np.nan
    assert oracle.locate_teacher(tied).ravel().tolist() == [0.0, 0.0]


def test_dark_finds_the_centre_of_a_gaussian() -> None:
    rows, columns = np.indices((48, 40))
    heatmap = np.exp(-((columns - 17.3) ** 2 + (rows - 25.8) ** 2) / 8.0)[None, None]
    assert oracle.locate_teacher(heatmap, "dark").ravel() == pytest.approx([17.3, 25.8], abs=2e-3)
    assert (oracle.locate_teacher(-heatmap, "dark") == oracle.locate_teacher(-heatmap)).all()


@pytest.mark.parametrize(
    ("c", "t", "expected"),
    [
        (32.0, 63.0, 65.0),
        (10.0, 20.0, 22.0),
        (2.0, 32.0, 63.0),
        (1.0, 10.0, 10.0),
        (0.9, 10.0, 10.0),
    ],
)
def test_published_centre_matches_the_tabulated_shifts(c: float, t: float, expected: float) -> None:
    logits = np.full((1, 1, 1, 96), np.log(c / 96))
    logits[0, 0, 0, 0] += 0.0 if c != 1.0 else -1e-12
    center = oracle.locate_student(logits, [[[t, 0.0]]], "published", window=(8, 8))
    assert center[0, 0, 0] == expected


def test_published_keeps_one_past_the_end_only_for_even_windows() -> None:
    logits = np.full((1, 1, 64, 64), np.log(60.0 / 4096))
    for size, expected in ((8, 64.0), (7, 63.0)):
        center = oracle.locate_student(logits, [[[63.0, 63.0]]], "published", window=(size, size))
        assert center.ravel().tolist() == [expected, expected]


def test_debiased_recovers_the_mode_of_a_soft_map() -> None:
    rows, columns = np.indices((64, 64))
    response = np.exp(-((columns - 10) ** 2 + (rows - 50) ** 2) / 8.0)[None, None]
    expectation, _ = oracle.soft_argmax(response + 0.3, 10.0)
    assert expectation.ravel() == pytest.approx([11.317, 48.867], abs=2e-3)
    mode = oracle.locate_student(response, expectation, "debiased", beta=10.0, window=(15, 15))
    assert mode.ravel() == pytest.approx([10.0, 50.0], abs=0.05)


def test_background_share_ignores_a_constant_and_is_capped() -> None:
    logits = delta(16, 16, 5, 9, 8.0)[0, 0]
    share = background_share(logits, 1.0, (7, 7))
    assert share == pytest.approx(background_share(logits + 100, 1.0, (7, 7)))
    assert share == pytest.approx(256 / (255 + np.exp(8.0)))
    assert background_share(logits * 0, 1.0, (7, 7)) == 0.5
    assert background_share(logits, 1.0, (40, 40)) == 0.0


LINE = np.arange(1.0, 6.0).reshape(1, 1, 1, 5)


@pytest.mark.parametrize(
    ("center", "size", "sampling", "border", "expected"),
    [
        (2, 3, "nearest", "mirror", [2, 3, 4]),
        (2, 4, "nearest", "mirror", [1, 2, 3, 4]),
        (0, 4, "nearest", "mirror", [2, 1, 1, 2]),
        (0, 3, "nearest", "mirror", [2, 1, 2]),
        (4, 5, "nearest", "mirror", [3, 4, 5, 4, 3]),
        (4, 5, "nearest", "mirror_published", [3, 4, 5, 0, 3]),
        (0, 5, "nearest", "mirror_published", [3, 2, 1, 2, 3]),
        (4, 4, "nearest", "mirror_published", [3, 4, 5, 3]),
        (2, 11, "nearest", "mirror", [0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 0]),
        (1.5, 1, "nearest", "mirror", [3]),
        (2.25, 3, "bilinear", "mirror", [2.25, 3.25, 4.25]),
        (1.5, 4, "bilinear", "mirror", [1, 2, 3, 4]),
        (0.25, 3, "bilinear", "mirror", [2.25, 1.25, 2.25]),
        (4, 5, "bilinear", "mirror_published", [3, 4, 5, 4, 3]),
    ],
)
def test_crop_by_hand(
    center: float, size: int, sampling: str, border: str, expected: list[float]
) -> None:
    window = oracle.crop(LINE, [[[center, 0]]], (1, size), sampling=sampling, border=border)
    assert window.ravel().tolist() == expected


def test_kl_of_equal_windows_is_zero_and_pins_the_rest() -> None:
    p = np.array([0.1, 0.2, 0.4, 0.3])
    logits, teacher = np.log(p).reshape(1, 1, 1, 4), p.reshape(1, 1, 1, 4)
    centers, windows, confidence = oracle.teacher_targets(teacher, (1, 3))
    assert (centers.ravel().tolist(), confidence.item()) == ([2.0, 0.0], 0.4)
    loss, grad = oracle.hhd_loss(logits, centers, windows, beta=1.0)
    assert loss == pytest.approx(0.0, abs=1e-15)
    assert np.abs(grad).max() < 1e-15
    uniform, _ = oracle.hhd_loss(logits * 0, centers, windows, beta=1.0)
    assert uniform == pytest.approx((p * np.log(p / 0.25)).sum())


def test_mirrored_cells_stay_a_distribution() -> None:
    p = np.array([0.4, 0.3, 0.2, 0.1])
    logits, teacher = np.log(p).reshape(1, 1, 1, 4), p[::-1].reshape(1, 1, 1, 4)
    loss, _ = oracle.hhd_loss(
        logits, [[[0, 0]]], oracle.crop(teacher, [[[0, 0]]], (1, 3)), beta=1.0
    )
    a, b = np.array([0.3, 0.4, 0.3, 0.3]) / 1.3, np.array([0.2, 0.1, 0.2, 0.7]) / 1.2
    assert loss == pytest.approx((b * np.log(b / a)).sum())


def test_a_student_mass_of_zero_costs_log_tiny() -> None:
    teacher = np.full((1, 1, 1, 3), 1 / 3)
    logits = np.array([0.0, -np.inf, 0.0]).reshape(1, 1, 1, 3)
    loss, grad = oracle.hhd_loss(logits, [[[1, 0]]], teacher, beta=1.0)
    expected = np.log(1 / 3) - (2 * np.log(0.5) + oracle.LOG_TINY) / 3
    assert loss == pytest.approx(expected)
    assert grad.ravel() == pytest.approx([0.0, 0.0, 0.0])


def test_reductions_and_selecting_weights() -> None:
    logits = np.zeros((2, 2, 3, 3))
    logits[1, 1] = np.nan
    centers, windows = np.ones((2, 2, 2)), np.zeros((2, 2, 1, 1))
    weight = np.array([[1.0, 3.0], [4.0, 0.0]])
    options = {"normalize": "softmax", "divergence": "sse", "beta": 1.0}
    mean, grad = oracle.hhd_loss(logits, centers, windows, weight, **options)
    official, _ = oracle.hhd_loss(logits, centers, windows, weight, reduction="official", **options)
    assert (mean, official) == (pytest.approx(1 / 81), pytest.approx(8 / 81 / 2))
    assert not grad[1, 1].any()
    assert oracle.hhd_loss(logits, centers, windows, weight * 0, **options)[0] == 0.0


def test_coordinate_losses_by_hand() -> None:
    logits, teacher = np.zeros((1, 2, 3, 5)), np.ones((1, 2, 3, 5))
    centers, windows, _ = oracle.teacher_targets(teacher, (3, 3))
    target = np.array([[[1.0, 1.0], [np.nan, 0.0]]])
    arguments = (logits, centers, windows, target, [[1.0, 0.0]])
    values = {
        ("l1", 2.0): 0.25,
        ("l2", 2.0): 0.125,
        ("smooth_l1", 2.0): 0.0625,
        ("l1", "map"): 0.1,
    }
    for (kind, unit), expected in values.items():
        result = oracle.joint_loss(*arguments, coordinate_loss=kind, coordinate_unit=unit)
        assert result.coordinate_loss == pytest.approx(expected)
        assert np.isfinite(result.grad).all()
    unlabelled = oracle.joint_loss(logits, centers, windows)
    assert unlabelled.coordinate_loss == 0.0
