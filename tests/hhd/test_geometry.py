"""The crop's closed form against OpenCV's three points and HRNet's and mmpose's numbers."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from golden_codecs import cases

from hhd.data.affine import (
    box_to_crop,
    cells_per_pixel,
    compose,
    crop_affine,
    flip_affine,
    invert,
    transform_points,
)
from hhd.data.skeleton import load_skeleton

CASES = [
    ((60.0, 41.5), 80.0, 0.0, (96, 96)),
    ((-3.0, 200.25), 311.0, 35.0, (192, 256)),
    ((17.0, 5.0), 20.5, -120.0, (48, 64)),
]


@pytest.mark.parametrize(("center", "width", "rotation", "size"), CASES)
def test_closed_form_is_the_affine_of_three_points(center, width, rotation, size):
    angle = math.radians(rotation)
    half = np.array([math.sin(angle), -math.cos(angle)]) * width / 2
    tip = np.add(center, half)
    source = np.array([center, tip, tip + np.array([half[1], -half[0]])])
    middle = np.array([size[0] / 2, size[1] / 2])
    up = np.array([0, -size[0] / 2])
    target = np.array([middle, middle + up, middle + up + np.array([up[1], -up[0]])])
    expected = cv2.getAffineTransform(source.astype(np.float32), target.astype(np.float32))
    matrix = crop_affine(center, (width, 1.0), rotation, size)
    assert matrix == pytest.approx(expected, abs=1e-3, rel=1e-4)


def test_golden_matrices(golden: Path):
    for case in json.loads((golden / "warp.json").read_text())["matrices"]:
        matrix = crop_affine(
            case["center"], case["scale_wh_px"], case["rot_deg"], tuple(case["output_size_wh"])
        )
        for name in ("get_warp_matrix", "hrnet_get_affine_transform"):
            np.testing.assert_allclose(matrix, case[name], atol=1e-3, rtol=1e-4)
        np.testing.assert_allclose(
            invert(matrix), case["hrnet_get_affine_transform_inv"], atol=1e-3, rtol=1e-4
        )
        # The golden transform_preds are of a 48x64 heatmap; HRNet never turns there.
        upright = crop_affine(case["center"], case["scale_wh_px"], 0.0, (48, 64))
        back = transform_points(np.array(case["points"]), invert(upright))
        np.testing.assert_allclose(back, case["hrnet_transform_preds"], atol=1e-3, rtol=1e-4)


def test_golden_boxes(golden: Path):
    for case in json.loads((golden / "warp.json").read_text())["bbox"]:
        x1, y1, x2, y2 = case["bbox_xyxy"]
        for name, aspect in (("192x256", 192 / 256), ("256x256", 1.0)):
            center, size = box_to_crop((x1, y1, x2 - x1, y2 - y1), aspect)
            np.testing.assert_allclose(center, case["center_pad1.25"], atol=1e-3, rtol=1e-4)
            np.testing.assert_allclose(size, case[f"fixed_scale_{name}"], atol=1e-3, rtol=1e-4)


def test_golden_udp_matrices(golden: Path):
    for case in json.loads((golden / "warp.json").read_text())["matrices"]:
        size = tuple(case["output_size_wh"])
        matrix = crop_affine(case["center"], case["scale_wh_px"], case["rot_deg"], size, "udp")
        np.testing.assert_allclose(matrix, case["get_udp_warp_matrix"], atol=1e-3, rtol=1e-4)


def test_golden_crops(golden: Path):
    crops = json.loads((golden / "warp_crops.json").read_text())
    assert [case["udp"] for case in crops] == [False, True, False, True]
    for case in crops:
        x1, y1, x2, y2 = case["bbox_xyxy"]
        size = tuple(case["size"])
        center, extent = box_to_crop((x1, y1, x2 - x1, y2 - y1), size[0] / size[1])
        affine = "udp" if case["udp"] else "standard"
        matrix = crop_affine(center, extent, case["rot"], size, affine)
        points = transform_points(np.array(case["points"]), matrix)
        np.testing.assert_allclose(points, case["points_out"], atol=1e-2)
        source = cv2.imread(str(golden / case["source"]))
        crop = cv2.warpAffine(source, matrix, size, flags=cv2.INTER_LINEAR)
        difference = np.abs(crop.astype(int) - cv2.imread(str(golden / case["file"])))
        assert difference.mean() < 0.5
        assert (difference <= 3).mean() >= 0.99


def test_golden_mirrored_joints(golden: Path):
    found = cases(golden, "hrnet_fliplr_joints")
    assert [case["K"] for case in found] == [17, 16]
    for case, name in zip(found, ("coco17", "mpii16"), strict=True):
        order = load_skeleton(name).flip_order()
        arrays = case["arrays"]
        points = transform_points(
            arrays["keypoints"].astype(np.float64)[order], flip_affine(case["width"])
        )
        visible = arrays["visible"][order]
        np.testing.assert_array_equal(visible, arrays["joints_vis"][:, 0])
        expected = arrays["joints"][:, :2]
        np.testing.assert_allclose(points * (visible > 0)[:, None], expected, atol=1e-4)


def test_corners_lie_on_corners_under_udp():
    """UDP: the box's corners are the first and last pixels, and the first and last cells."""
    matrix = crop_affine((50, 40), (60, 80), 0.0, (192, 256), "udp")
    corners = transform_points(np.array([[20.0, 0.0], [80.0, 80.0]]), matrix)
    np.testing.assert_allclose(corners, [[0, 0], [191, 255]], atol=1e-9)
    cells = corners * cells_per_pixel((192, 256), (48, 64), "udp")
    np.testing.assert_allclose(cells, [[0, 0], [47, 63]], atol=1e-9)


def test_udp_turns_the_other_way():
    point = np.array([[10.0, 0.0]])
    standard, udp = (
        transform_points(point, crop_affine((0, 0), (50, 50), 30.0, (100, 100), affine))[0]
        - [50 - 0.5 * (affine == "udp")] * 2
        for affine in ("standard", "udp")
    )
    assert standard[1] < 0 < udp[1]


def test_inverse_undoes_and_points_go_round():
    rng = np.random.default_rng(0)
    matrix = compose(crop_affine((31, 44), (70, 70), 21, (96, 96)), flip_affine(120))
    points = rng.uniform(-50, 200, size=(7, 2))
    back = transform_points(transform_points(points, matrix), invert(matrix))
    np.testing.assert_allclose(back, points, atol=1e-9)


def test_mirror_in_the_matrix_equals_hrnets_mirrored_image():
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.integers(0, 256, (80, 121, 3)).astype(np.uint8), (5, 5), 0)
    center, extent, rotation = np.array([50.0, 37.0]), (60.0, 60.0), 20.0
    mirrored_center = np.array([121 - center[0] - 1, center[1]])
    hrnet = crop_affine(mirrored_center, extent, rotation, (64, 64))
    expected = cv2.warpAffine(np.ascontiguousarray(image[:, ::-1]), hrnet, (64, 64))
    ours = cv2.warpAffine(image, compose(hrnet, flip_affine(121)), (64, 64))
    assert np.abs(ours.astype(int) - expected).max() <= 3


def test_a_crop_without_width_is_refused():
    with pytest.raises(ValueError, match=r"size is 0.0 x 4.0; a crop needs a positive width"):
        crop_affine((1, 1), (0, 4), 0, (8, 8))
