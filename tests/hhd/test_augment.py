"""The random crops of HRNet and mmpose: distributions, half bodies, order; and one's own."""

import random
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from hhd.data.affine import box_to_center, crop_affine, fix_aspect, transform_points
from hhd.data.augment import UNCHANGED, Augmentation, CropChange, half_body_crop
from hhd.data.coco import read_persons
from hhd.data.dataset import CropDataset
from hhd.data.person import Person
from hhd.data.skeleton import load_skeleton
from hhd.train.data import load_transform

COCO17 = load_skeleton("coco17")
UPPER = COCO17.indices(COCO17.upper_body)


def draws(augmentation: Augmentation, count: int = 4000) -> list[CropChange]:
    rng = np.random.default_rng(0)
    return [augmentation.draw(rng) for _ in range(count)]


def test_mmpose_truncates_where_hrnet_clips():
    ours = {rule: draws(Augmentation(0.5, 80, 0.6, 0.5, rule=rule)) for rule in ("hrnet", "mmpose")}
    scales = {rule: np.array([d.scale for d in ours[rule]]) for rule in ours}
    # A third of all normal numbers are clipped; none of the truncated ones lies on the edge.
    at_edge = {rule: np.isin(scales[rule], (0.5, 1.5)).mean() for rule in ours}
    assert at_edge["hrnet"] == pytest.approx(0.3173, abs=0.03)
    assert at_edge["mmpose"] == 0
    # The deviation of a normal number, given that it is within one.
    assert scales["mmpose"].std() == pytest.approx(0.5 * 0.5396, abs=0.01)
    turned = np.array([d.rotation for d in ours["mmpose"]])
    assert 70 < np.abs(turned).max() < 80
    assert (turned != 0).mean() == pytest.approx(0.6, abs=0.03)


def test_shares_of_shifted_and_halved_crops():
    mmpose = draws(
        Augmentation(0.5, 80, rule="mmpose", half_body_probability=0.3, shift_probability=0.3)
    )
    shifts = np.array([d.shift for d in mmpose])
    assert np.abs(shifts).max() <= 0.16
    assert (shifts != 0).all(axis=1).mean() == pytest.approx(0.3, abs=0.03)
    for rule, upper in (("mmpose", 0.7), ("hrnet", 0.6915)):
        halves = [d.half for d in draws(Augmentation(half_body_probability=0.3, rule=rule))]
        assert np.mean([half != "none" for half in halves]) == pytest.approx(0.3, abs=0.03)
        chosen = [half for half in halves if half != "none"]
        assert np.mean([half == "upper" for half in chosen]) == pytest.approx(upper, abs=0.05)
    assert all(d.shift == (0, 0) for d in draws(Augmentation(shift_probability=1.0), 50))


def keypoints(upper: int, lower: int) -> np.ndarray:
    """That many labelled joints of each half: upper ones at (10 i, 5), lower ones at (i, 100 i)."""
    points = np.zeros((17, 3))
    for i in range(upper):
        points[i] = 10 * i, 5, 2
    for i in range(lower):
        points[11 + i] = i, 100 * i, 1
    return points


def half(upper, lower, wanted, rule):
    return half_body_crop(keypoints(upper, lower), UPPER, wanted, 0.75, rule)


@pytest.mark.parametrize(("rule", "fewest"), [("hrnet", 3), ("mmpose", 2)])
def test_a_half_body_needs_its_joints(rule, fewest):
    everyone = np.array([[10.0 * i, 0.0, 1.0] for i in range(17)])
    for count in range(1, 5):
        center, _ = half_body_crop(everyone, list(range(count)), "upper", 0.75, rule)
        upper, lower = 10 * (count - 1) / 2, 10 * (count + 16) / 2
        assert center[0] == (upper if count >= fewest else lower)


def test_half_bodies_of_hrnet():
    center, size = half(9, 6, "upper", "hrnet")
    assert center.tolist() == [40, 5]
    # Extent 80 x 0: the aspect is fixed before the padding of 1.5.
    np.testing.assert_allclose(size, [120, 160])
    np.testing.assert_allclose(half(9, 6, "lower", "hrnet")[1], [562.5, 750])
    # The upper half needs more than two joints, and so does the lower before it is preferred.
    assert half(2, 6, "upper", "hrnet") is None  # eight joints in all
    np.testing.assert_allclose(half(10, 2, "lower", "hrnet")[0], [45, 5])
    assert half(8, 0, "upper", "hrnet") is None


def test_half_bodies_of_mmpose():
    center, size = half(9, 6, "upper", "mmpose")
    assert center.tolist() == [40, 5]
    np.testing.assert_allclose(size, [120, 0])  # the aspect is fixed after the shift
    np.testing.assert_allclose(half(10, 2, "lower", "mmpose")[0], [45, 5])
    np.testing.assert_allclose(half(9, 3, "lower", "mmpose")[0], [1, 100])
    assert half(4, 4, "upper", "mmpose") is None


@pytest.fixture
def someone() -> Person:
    points = keypoints(9, 5)
    points[:, :2] += 30
    return Person(1, 1, 1, Path("x"), 640, 480, (20.0, 30.0, 100.0, 300.0), points)


@pytest.mark.parametrize("rule", ["hrnet", "mmpose"])
@pytest.mark.parametrize("affine", ["standard", "udp"])
@pytest.mark.parametrize("change", [
    UNCHANGED,
    CropChange(0.8, 25.0, True),
    CropChange(1.3, -50.0, False, (0.1, -0.05), "lower"),
    CropChange(0.7, 10.0, True, (-0.16, 0.02), "upper"),
])  # fmt: skip
def test_a_crop_is_made_in_the_order_of_its_codebase(someone, rule, affine, change):
    """Step by step as upstream: on mirrored joints and centre, and the picture mirrored before."""
    size_in = (192, 256)
    if rule == "hrnet":
        change = change._replace(shift=(0.0, 0.0))
    augmentation = Augmentation(rule=rule, half_body_probability=0.3)
    data = CropDataset(
        [someone], COCO17, input_size=size_in, stride=4, affine=affine, augmentation=augmentation
    )
    matrix, crop_size = data.crop_geometry(someone, change)

    points = someone.keypoints.copy()
    center, size = box_to_center(someone.box)
    if rule == "mmpose" and change.flip:
        points = points[data.flip_order]
        points[:, 0] = 640 - 1 - points[:, 0]
        center[0] = 640 - center[0] - 1
    if change.half != "none":
        center, size = half_body_crop(points, UPPER, change.half, 0.75, rule)
    if rule == "hrnet":
        size = fix_aspect(size, 0.75) * change.scale
        if change.flip:
            center = np.array([640 - center[0] - 1, center[1]])
    center = center + np.array(change.shift) * size
    if rule == "mmpose":
        size = fix_aspect(size * change.scale, 0.75)
    upstream = crop_affine(center, size, change.rotation, size_in, affine)

    np.testing.assert_allclose(crop_size, size)
    joint = np.array([[100.0, 200.0]])
    mirrored = np.array([[640 - 1 - 100.0, 200.0]]) if change.flip else joint
    expected = transform_points(mirrored, upstream)
    np.testing.assert_allclose(transform_points(joint, matrix), expected, atol=1e-8)


def test_half_bodies_need_a_named_upper_body(someone):
    nameless = replace(COCO17, upper_body=())
    with pytest.raises(ValueError, match="coco17 does not name its upper_body"):
        CropDataset(
            [someone], nameless, input_size=(64, 64), stride=4,
            augmentation=Augmentation(half_body_probability=0.3),
        )  # fmt: skip


@pytest.fixture
def persons(people, lsp14):
    return read_persons(people / "annotations.json", people / "images", lsp14)


def data_with(persons, lsp14, transform, **options):
    return CropDataset(
        persons, lsp14, input_size=(64, 48), stride=2, transform=transform, seed=2, **options
    )


def hide_and_move(image, keypoints, visible):
    """A user's own: two pixels to the right, darker at random, without the first joint."""
    moved = cv2.warpAffine(image, np.array([[1.0, 0, 2], [0, 1, 0]]), image.shape[1::-1])
    visible[0] = False
    strength = random.random() * np.random.rand()  # noqa: NPY002
    return (moved * strength).astype(np.uint8), keypoints + np.array([2.0, 0.0]), visible


def test_ones_own_augmentation(persons, lsp14):
    plain = data_with(persons, lsp14, None)[1]
    data = data_with(persons, lsp14, hide_and_move)
    item = data[1]
    np.testing.assert_allclose(item["coords"], plain["coords"] + np.array([1.0, 0.0]), atol=1e-5)
    assert item["labelled"][0] == item["weight"][0] == 0
    assert item["labelled"][1:].all()
    # Seeded by epoch and person, whatever was drawn before.
    random.random()
    np.testing.assert_array_equal(data[1]["image"], item["image"])
    assert (data[1 + len(data)]["image"] != item["image"]).any()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda image, keypoints, visible: (image[:10], keypoints, visible),
        lambda image, keypoints, visible: (image / 255, keypoints, visible),
        lambda image, keypoints, visible: (image, keypoints[:3], visible),
        lambda image, keypoints, visible: (image, keypoints, visible[:1]),
    ],
)
def test_what_ones_own_augmentation_must_give(persons, lsp14, wrong):
    with pytest.raises(
        ValueError, match=r"transform gave an image of .*it must give uint8 \(48, 64"
    ):
        data_with(persons, lsp14, wrong)[0]


def test_stored_maps_do_not_move_with_ones_own_augmentation(persons, lsp14):
    class Maps:
        def crop(self, annotation_id, change, flip):
            return np.zeros((14, 24, 32), dtype=np.float32)

    with pytest.raises(ValueError, match="stored teacher maps stay where they are"):
        data_with(persons, lsp14, hide_and_move, teacher_maps=Maps())[0]


def test_a_function_by_its_dotted_path():
    assert load_transform("test_augment.hide_and_move").__name__ == "hide_and_move"
    for name in ("nowhere.at.all", "random.nothing", "plain"):
        with pytest.raises(ValueError, match=f"transform is '{name}', which cannot be imported"):
            load_transform(name)
    with pytest.raises(ValueError, match=r"transform is 'math.pi', which is no function"):
        load_transform("math.pi")
