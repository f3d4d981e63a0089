"""Where the maps of a look lie in the picture, by a teacher that finds painted dots exactly."""

import sys
from dataclasses import replace
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch
import yaml

from hhd.data.affine import invert, transform_points
from hhd.data.person import Person
from hhd.data.skeleton import Skeleton
from hhd.teach.grid import cells_to_input, mirror_shift
from hhd.teach.networks import open_teacher
from hhd.teach.viewer import Looking, torso_turn
from hhd.teach.views import look, look_many

SIZE, CELLS = (96, 128), (24, 32)
GRIDS = ("stride", "half_pixel", "align_corners")
DOTS = Skeleton(
    name="dots",
    joints=("left_shoulder", "right_shoulder", "left_hip", "right_hip", "tail"),
    flip_pairs=(("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")),
    limbs=(),
    sigmas=(0.1,) * 5,
    pck_normaliser="box",
    pck_joints=("tail",),
)
# A person seen from the front, upright, round the middle of the hips and shoulders.
POSE = np.array([[22, -30], [-22, -30], [14, 30], [-14, 30], [9, 52.0]])
RED, GREEN, BLUE = (0, 0, 255), (0, 255, 0), (255, 0, 0)
COLOURS = (RED, RED, GREEN, GREEN, BLUE)


def paint(angle, center=(150, 120)):
    """A picture of the person turned by ``angle`` degrees clockwise, and the joints [5, 2]."""
    turn = np.radians(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    joints = POSE @ matrix.T + center
    picture = np.full((240, 300, 3), 20, dtype=np.uint8)
    for place, colour in zip(np.round(joints * 16).astype(int), COLOURS, strict=True):
        cv2.circle(picture, place.tolist(), 5 * 16, colour, -1, cv2.LINE_AA, shift=4)
    return picture, joints


def person(joints, number=1, image=None):
    low, high = joints.min(0) - 10, joints.max(0) + 10
    keypoints = np.hstack([joints, np.full((5, 1), 2.0)])
    return Person(number, number, 1, image, 300, 240, (*low, *(high - low)), keypoints)


def two(colour):
    """The centres of mass of the two largest blots."""
    _, blots, stats, _ = cv2.connectedComponentsWithStats((colour > 20).astype(np.uint8))
    centres = []
    for blot in 1 + np.argsort(-stats[1:, cv2.CC_STAT_AREA])[:2]:
        y, x = np.nonzero(blots == blot)
        centres.append(np.average(np.stack([x, y], axis=1), axis=0, weights=colour[y, x]))
    return np.array(centres)


def find_dots(crop):
    """Joints [5, 2] in pixels of an RGB crop; left and right are told as of a real person."""
    red, green, blue = np.moveaxis(crop.astype(np.float64) - 20, 2, 0)
    shoulders, hips = two(red - green - blue), two(green - red - blue)
    tail = two(blue - red - green)[0]
    up = shoulders.mean(0) - hips.mean(0)
    # Seen from the front with up upwards, the left is on the picture's right.
    left = np.array([-up[1], up[0]])
    pairs = [sorted(pair, key=lambda place: -place @ left) for pair in (shoulders, hips)]
    return np.array([*pairs[0], *pairs[1], tail]), up


class Teacher:
    """Gaussians at the dots; with ``upright`` it only sees those who stand, within 50 degrees."""

    def __init__(self, grid, upright=False):
        self.to_cells = invert(cells_to_input(CELLS, SIZE, grid))
        self.upright = upright
        self.asked = []

    def __call__(self, crops):
        self.asked.append(len(crops))
        return np.stack([self.maps(crop) for crop in crops])

    def maps(self, crop):
        joints, up = find_dots(crop)
        seen = not self.upright or -up[1] > np.cos(np.radians(50)) * np.linalg.norm(up)
        if not seen:
            joints = joints[::-1].copy()
        places = transform_points(joints, self.to_cells)
        x, y = np.arange(CELLS[0]), np.arange(CELLS[1])[:, None]
        square = [(x - px) ** 2 + (y - py) ** 2 for px, py in places]
        return np.exp(-np.stack(square) / (2 * 1.5**2)) * (0.9 if seen else 0.3)


@pytest.fixture
def teach(tmp_path, monkeypatch):
    """Opens a teacher of dots."""

    def build(function, grid="stride", **card):
        module = ModuleType("dots")
        module.find = function
        monkeypatch.setitem(sys.modules, "dots", module)
        values = {"network": "python:dots:find", "input_size": list(SIZE), "grid": grid}
        path = tmp_path / "dots.yaml"
        path.write_text(yaml.safe_dump(values | {"joints": list(DOTS.joints)} | card))
        return open_teacher(path, DOTS)

    return build


def centres(maps):
    """The maps' centres of mass [K, 2] in cells."""
    mass = maps.double().numpy() / maps.double().sum((1, 2), keepdim=True).numpy()
    x = (mass.sum(1) * np.arange(maps.shape[2])).sum(1)
    y = (mass.sum(2) * np.arange(maps.shape[1])).sum(1)
    return np.stack([x, y], axis=1)


def peaks(maps):
    index = maps.flatten(1).argmax(1).numpy()
    return np.stack([index % maps.shape[2], index // maps.shape[2]], axis=1)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("affine", ["standard", "udp"])
@pytest.mark.parametrize("upright", ["no", "labels", "own"])
@pytest.mark.parametrize("angle", [0, 37, 90, 180, -110])
def test_maps_lie_on_the_joints(teach, grid, affine, upright, angle):
    network = teach(Teacher(grid), grid, affine=affine)
    picture, joints = paint(angle)
    alone = look([network], picture, person(joints), Looking(upright=upright, flip=False))
    assert alone.maps.shape == (5, CELLS[1], CELLS[0])
    assert alone.to_cells.dtype == np.float64
    flipped = look([network], picture, person(joints), Looking(upright=upright, flip=True))
    for found in (alone, flipped):
        in_cells = transform_points(joints, found.to_cells)
        assert np.abs(peaks(found.maps) - in_cells).max() < 0.6
        # The crop shows the dots to a fraction of a pixel.
        np.testing.assert_allclose(centres(found.maps), in_cells, atol=0.06)
    # What the mirror adds lies in the same place, so that the peak is as high.
    height = alone.maps.amax((1, 2))
    assert (flipped.maps.amax((1, 2)) > 0.85 * height).all()
    if upright != "no":
        up = joints[:2].mean(0) - joints[2:4].mean(0)
        turned = alone.to_cells[:, :2] @ up * np.array(SIZE) / np.array(CELLS)
        assert abs(np.degrees(np.arctan2(turned[0], -turned[1]))) < 4


@pytest.mark.parametrize("grid", GRIDS)
def test_the_mirror_is_exact(teach, grid):
    """A map and the mirrored map of the mirrored crop agree to the interpolation of a fraction."""
    shift = mirror_shift(CELLS[0], SIZE[0], grid)
    assert shift == pytest.approx({"stride": 0.75, "half_pixel": 0, "align_corners": 0}[grid])
    network = teach(Teacher(grid), grid)
    picture, joints = paint(0)
    alone, flipped = (
        look([network], picture, person(joints), Looking(flip=flip)) for flip in (False, True)
    )
    np.testing.assert_allclose(centres(flipped.maps), centres(alone.maps), atol=0.02)


def test_padding_is_the_teachers_or_the_users(teach):
    network = teach(Teacher("stride"), padding=1.5)
    picture, joints = paint(0)
    scale = [
        np.linalg.det(look([network], picture, person(joints), Looking(padding=p)).to_cells[:, :2])
        for p in (None, 1.5, 3.0)
    ]
    assert scale[0] == scale[1] == pytest.approx(4 * scale[2])
    wide = look([network], picture, person(joints), Looking(padding=3.0))
    # Dots of two pixels are found less well.
    np.testing.assert_allclose(
        centres(wide.maps), transform_points(joints, wide.to_cells), atol=0.15
    )


@pytest.mark.parametrize("angle", [0, 60, 100, 180, 250])
def test_its_own_answer_turns_the_crop(teach, angle):
    teacher = Teacher("stride", upright=True)
    network = teach(teacher)
    picture, joints = paint(angle)
    plain = look([network], picture, person(joints), Looking(flip=False))
    assert (plain.maps.amax() > 0.8) == (angle == 0)
    teacher.asked.clear()
    found = look([network], picture, person(joints), Looking(upright="own"))
    assert found.maps.amax() > 0.8
    np.testing.assert_allclose(
        centres(found.maps), transform_points(joints, found.to_cells), atol=0.06
    )
    # Asked until it is confident, and then for the last crop and its mirror.
    start = {0: 1, 60: 2, 100: 2, 180: 3, 250: 4}[angle]
    assert teacher.asked == [1] * start + [1, 1]


def test_unsure_at_every_angle_keeps_the_most_confident(teach):
    heights = iter([0.2, 0.5, 0.3, 0.1, 0.9])
    teacher = Teacher("stride")
    network = teach(lambda crops: teacher(crops) / 0.9 * next(heights))
    picture, joints = paint(30)
    found = look([network], picture, person(joints), Looking(upright="own", flip=False))
    assert found.maps.amax() > 0.8
    assert next(heights, None) is None


def test_without_the_four_labels_the_crop_stays(teach):
    network = teach(Teacher("stride"))
    picture, joints = paint(90)
    whole = person(joints)
    cut = whole.keypoints.copy()
    cut[2] = 0
    found = look([network], picture, replace(whole, keypoints=cut), Looking(upright="labels"))
    plain = look([network], picture, whole, Looking())
    np.testing.assert_array_equal(found.to_cells, plain.to_cells)
    assert not np.allclose(
        look([network], picture, whole, Looking(upright="labels")).to_cells, plain.to_cells
    )


def test_a_joint_without_a_partner_is_not_averaged(teach):
    teacher = Teacher("stride")
    network = teach(teacher, joint_map={"right_hip": None})
    picture, joints = paint(0)
    alone, flipped = (
        look([network], picture, person(joints), Looking(flip=flip)) for flip in (False, True)
    )
    torch.testing.assert_close(flipped.maps[2], alone.maps[2], atol=0, rtol=0)
    assert not flipped.maps[3].any()
    assert not torch.equal(flipped.maps[0], alone.maps[0])
    with pytest.raises(
        ValueError, match="upright is own, but the first teacher does not know right_hip"
    ):
        look([network], picture, person(joints), Looking(upright="own"))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("angle", [0, 100, -60])
def test_several_networks_answer_together(teach, grid, angle):
    """On the first one's cells, wherever the others' own crops and cells lie."""
    seeing, wide = Teacher("half_pixel", upright=True), Teacher(grid, upright=True)
    first = teach(seeing, "half_pixel", joint_map={"tail": None})
    second = teach(wide, grid, affine="udp", padding=1.6, joint_map={"right_hip": None})
    picture, joints = paint(angle)
    looking = Looking(upright="own")
    whole = look([first, second], picture, person(joints), looking)
    alone = look([first], picture, person(joints), looking)
    np.testing.assert_array_equal(whole.to_cells, alone.to_cells)
    np.testing.assert_allclose(
        centres(whole.maps), transform_points(joints, whole.to_cells), atol=0.08
    )
    # What one alone knows is its own answer, not half of it.
    torch.testing.assert_close(whole.maps[3], alone.maps[3], atol=1e-5, rtol=0)
    assert not alone.maps[4].any()
    assert whole.maps[4].amax() > 0.75
    # Its crop is larger, so the second's answer is wider in the first one's cells.
    area = [float((maps[0] > maps[0].max() / 2).sum()) for maps in (alone.maps, whole.maps)]
    assert area[0] < area[1] < 2 * area[0]


def test_the_mean_of_equal_networks_is_their_answer(teach):
    network = teach(Teacher("stride"))
    picture, joints = paint(30)
    one, three = (look([network] * n, picture, person(joints), Looking()) for n in (1, 3))
    torch.testing.assert_close(three.maps, one.maps, atol=1e-5, rtol=0)


@pytest.mark.parametrize("padding", [1.0, 1.5, 3.1])
@pytest.mark.parametrize("first", [1.5, 3.1])
def test_shares_have_the_same_weight_whatever_the_cells(teach, first, padding):
    """Of two networks that give shares, half of the sum is each one's."""

    def logits(crops):
        x, y = np.arange(CELLS[0]), np.arange(CELLS[1])[:, None]
        square = (x - CELLS[0] / 2 - 1) ** 2 + (y - CELLS[1] / 2) ** 2
        return np.tile(-square / (2 * 1.2**2), (len(crops), 5, 1, 1))

    networks = [teach(logits, padding=own, activation="softmax") for own in (first, padding)]
    picture, joints = paint(0)
    alone, both = (
        look(networks[:n], picture, person(joints), Looking(flip=False)).maps for n in (1, 2)
    )
    others = 2 * both - alone
    assert alone.sum((1, 2)).numpy() == pytest.approx(1)
    # Three cells of the second to one of the first are read at a square of nine places.
    assert others.sum((1, 2)).numpy() == pytest.approx(1, abs=0.02)
    # One cell from the middle of its own crop, in cells of the first one's.
    expected = [CELLS[0] / 2 + padding / first, CELLS[1] / 2]
    np.testing.assert_allclose(centres(others), np.tile(expected, (5, 1)), atol=0.1)


def test_beyond_a_networks_map_there_is_nothing(teach):
    """The second one's crop is a third of the first one's: of the tail it sees nothing."""
    close = teach(lambda crops: np.ones((len(crops), 5, *CELLS[::-1]), np.float32), padding=0.5)
    network = teach(Teacher("stride"), padding=1.5)
    picture, joints = paint(0)
    looking = Looking(flip=False)
    alone = look([network], picture, person(joints), looking).maps
    both = look([network, close], picture, person(joints), looking).maps
    added = 2 * both - alone
    assert added.mean().item() == pytest.approx(1 / 9, abs=0.01)
    torch.testing.assert_close(added[:, 0], torch.zeros_like(added[:, 0]), atol=1e-5, rtol=0)
    middle = added[:, CELLS[1] // 2, CELLS[0] // 2]
    torch.testing.assert_close(middle, torch.ones(5), atol=1e-5, rtol=0)


def test_the_turn_of_a_torso():
    for angle in (0, 30, 90, -120):
        _, joints = paint(angle)
        assert torso_turn(joints, DOTS) == pytest.approx(angle, abs=1e-9)
    assert abs(torso_turn(paint(180)[1], DOTS)) == pytest.approx(180)
    assert torso_turn(np.zeros((5, 2)), DOTS) == 0


def test_a_skeleton_without_a_torso(teach, tmp_path):
    teach(Teacher("stride"))
    joints = ("left_shoulder", "tail")
    armless = Skeleton("worm", joints, (), (), (0.1, 0.1), "box", joints)
    network = open_teacher(tmp_path / "dots.yaml", armless)
    picture, places = paint(0)
    for upright in ("labels", "own"):
        with pytest.raises(
            ValueError, match=r"skeleton worm has no left_hip, right_hip, right_sho"
        ):
            look([network], picture, person(places), Looking(upright=upright))


@pytest.fixture
def folder(tmp_path):
    """Five persons in three pictures."""
    persons = []
    for number, angle in enumerate([0, 90, 180, 45, -90]):
        path = tmp_path / f"{number % 3}.png"
        picture, joints = paint(angle)
        if number < 3:
            cv2.imwrite(str(path), picture)
        else:
            joints = paint([0, 90][number - 3])[1] + [3, 2]
        persons.append(person(joints, number, path))
    return persons


@pytest.mark.parametrize("batch_size", [1, 2, 8])
@pytest.mark.parametrize("upright", ["no", "own"])
def test_many_are_looked_at_as_one_is(teach, folder, batch_size, upright):
    teacher = Teacher("stride", upright=True)
    network, looking = teach(teacher), Looking(upright=upright)
    found = list(look_many([network], folder, looking, batch_size, readers=2))
    assert max(teacher.asked) <= batch_size
    assert len(found) == len(folder)
    for one, many in zip(folder, found, strict=True):
        expected = look([network], cv2.imread(str(one.image)), one, looking)
        torch.testing.assert_close(many.maps, expected.maps, atol=0, rtol=0)
        np.testing.assert_array_equal(many.to_cells, expected.to_cells)
    assert list(look_many([network], [], looking)) == []


def test_a_damaged_picture_is_named_in_its_turn(teach, folder):
    network = teach(Teacher("stride"))
    folder[2].image.write_bytes(b"cut")
    answers = look_many([network], folder, Looking(), batch_size=2)
    assert [next(answers) is not None for _ in range(2)] == [True, True]
    with pytest.raises(ValueError, match=r"image .*2.png cannot be decoded"):
        next(answers)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"padding": 0}, "padding is 0; it takes a positive number"),
        ({"upright": "yes"}, "upright is 'yes'; it takes one of no, labels, own"),
        ({"angles": ()}, r"angles is \(\); it takes one at least, in degrees"),
        ({"angles": (0, "up")}, "angles: an angle is 'up'; it takes a finite number"),
        ({"confident": float("nan")}, "confident is nan; it takes a finite number"),
    ],
)
def test_no_way_to_look(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Looking(**options)
