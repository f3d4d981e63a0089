"""Crops and targets, the order of a run's batches, and errors that name what is broken."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from hhd.data.affine import transform_points
from hhd.data.augment import UNCHANGED, Augmentation
from hhd.data.coco import read_persons
from hhd.data.dataset import CropDataset, read_image
from hhd.data.loading import MixedData, StepBatches, make_loader, read_batches
from hhd.data.picture import read_picture
from hhd.data.skeleton import load_skeleton
from hhd.data.synthetic import draw_person


@pytest.fixture
def persons(people, lsp14):
    return read_persons(people / "annotations.json", people / "images", lsp14)


def edited(people: Path, tmp_path: Path, change) -> Path:
    content = json.loads((people / "annotations.json").read_text())
    change(content)
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(content))
    return path


def test_targets_lie_on_the_joints_of_the_crop(persons, lsp14):
    """A dot painted on a joint is found where the target says, augmented or not."""
    joint = lsp14.joints.index("left_knee")
    data = CropDataset(
        persons, lsp14, input_size=(96, 96), stride=2, augmentation=Augmentation(), seed=5
    )
    seen = set()
    for index in range(12):
        change = data.augmentation.draw(np.random.default_rng((5, 0, index)))
        seen.add(change.flip)
        person = persons[index]
        dot = np.zeros((person.height, person.width), dtype=np.uint8)
        # After a mirror the person's right knee stands where a left knee is expected.
        source = data.flip_order[joint] if change.flip else joint
        x, y = (round(v) for v in person.keypoints[source, :2])
        cv2.circle(dot, (x, y), 2, 255, -1)
        crop = cv2.warpAffine(dot, data.crop_matrix(person, change), (96, 96))
        weights = crop / crop.sum()
        found = (weights.sum(axis=0) @ np.arange(96), weights.sum(axis=1) @ np.arange(96))
        item = data[index]
        np.testing.assert_allclose(item["coords"][joint] * 2, found, atol=1.2)
    assert seen == {True, False}


def test_a_mirrored_crop_keeps_the_centre(persons, lsp14):
    """HRNet mirrors the centre too, so that input pixel x goes to width - x."""
    data = CropDataset(persons, lsp14, input_size=(96, 64), stride=2)
    plain = data.crop_matrix(persons[0], UNCHANGED)
    mirrored = data.crop_matrix(persons[0], UNCHANGED._replace(flip=True))
    points = np.array([[3.0, 5.0], [60.0, 80.0]])
    before, after = transform_points(points, plain), transform_points(points, mirrored)
    np.testing.assert_allclose(after[:, 0], 96 - before[:, 0])
    np.testing.assert_allclose(after[:, 1], before[:, 1])


def test_an_item_goes_back_to_the_picture(persons, lsp14):
    data = CropDataset(persons, lsp14, input_size=(96, 96), stride=2)
    item = data[3]
    assert item["image"].shape == (3, 96, 96)
    assert item["image"].dtype == np.uint8
    matrix = item["to_image"]
    back = item["coords"] * 2 @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(back, persons[3].keypoints[:, :2], atol=1e-3)


def test_a_joint_outside_the_crop_weighs_nothing(persons, lsp14):
    data = CropDataset(persons, lsp14, input_size=(96, 96), stride=2, padding=0.4)
    weights = np.concatenate([data[i]["weight"] for i in range(len(data))])
    coords = np.concatenate([data[i]["coords"] for i in range(len(data))]) * 2
    inside = ((coords >= 0) & (coords <= 95)).all(axis=1)
    assert 0 < inside.mean() < 1
    np.testing.assert_array_equal(weights, inside)


def test_epochs_differ_and_repeat(persons, lsp14):
    data = CropDataset(persons, lsp14, input_size=(64, 64), stride=2, augmentation=Augmentation())
    first, again, next_epoch = data[4], data[4], data[4 + len(data)]
    np.testing.assert_array_equal(first["image"], again["image"])
    assert (first["image"] != next_epoch["image"]).any()


def test_hrnets_augmentation_is_clipped():
    rng = np.random.default_rng(0)
    draws = [Augmentation(0.25, 30, 0.6, 0.5).draw(rng) for _ in range(2000)]
    scales = np.array([d.scale for d in draws])
    rotations = np.array([d.rotation for d in draws])
    assert scales.min() == 0.75
    assert scales.max() == 1.25
    assert np.abs(rotations).max() == 60
    assert (rotations != 0).mean() == pytest.approx(0.6, abs=0.04)
    assert np.mean([d.flip for d in draws]) == pytest.approx(0.5, abs=0.04)


def test_batches_from_the_middle_are_the_rest_of_the_run():
    whole = list(StepBatches([10], [3], epochs=3, seed=1))
    assert len(whole) == 9
    first = [index for batch in whole[:3] for _, index in batch]
    assert max(first) < 10 <= min(index for _, index in whole[3])
    for start in range(10):
        assert list(StepBatches([10], [3], epochs=3, seed=1, start=start)) == whole[start:]


def test_further_data_go_round_and_round_beside_the_first():
    lengths, sizes = [10, 4, 7], [3, 3, 2]
    whole = list(StepBatches(lengths, sizes, epochs=4, seed=1))
    assert [batch[:3] for batch in whole] == list(StepBatches([10], [3], epochs=4, seed=1))
    for part, (length, size) in enumerate(zip(lengths, sizes, strict=True)):
        shown = [index for batch in whole for which, index in batch if which == part]
        assert len(shown) == 12 * size
        if part:
            # Every person once in each round, and the rounds in turn.
            assert all(index // length == n // length for n, index in enumerate(shown))
            assert len(set(shown)) == len(shown)
    for start in range(13):
        assert list(StepBatches(lengths, sizes, epochs=4, seed=1, start=start)) == whole[start:]


def test_processes_share_each_step():
    lengths, sizes = [20, 9], [6, 4]
    alone = list(StepBatches(lengths, sizes, epochs=2, seed=3))
    shares = [
        list(StepBatches(lengths, sizes, epochs=2, seed=3, rank=rank, world=2)) for rank in (0, 1)
    ]
    for step, batch in enumerate(alone):
        assert sorted(shares[0][step] + shares[1][step]) == sorted(batch)
        assert [len(share[step]) for share in shares] == [5, 5]
    with pytest.raises(ValueError, match=r"6 and 4 crops \(batch_size, .*\), which 4 pro"):
        StepBatches(lengths, sizes, 1, 0, world=4)


def test_workers_do_not_change_the_data(persons, lsp14):
    data = CropDataset(persons, lsp14, input_size=(64, 64), stride=2, augmentation=Augmentation())
    batches = StepBatches([len(data)], [4], epochs=1, seed=0)
    alone = next(iter(make_loader(MixedData([data]), batches, workers=0)))
    worker = next(iter(make_loader(MixedData([data]), batches, workers=1)))
    assert all((alone[key] == worker[key]).all() for key in alone)


def test_a_batch_larger_than_the_data_is_refused():
    with pytest.raises(ValueError, match="batch_size is 8, more than the 5"):
        StepBatches([5], [8], 1, 0)


def test_generated_people_are_seeded():
    one, same, other = draw_person(0, 7), draw_person(0, 7), draw_person(1, 7)
    np.testing.assert_array_equal(one.image, same.image)
    assert (one.image != other.image).any()
    assert set(np.unique(one.joints[:, 2])) <= {1.0, 2.0}


def test_swapped_labels_are_marked(people, lsp14, tmp_path):
    def mark(content):
        content["annotations"][0].update(ref_agree=0.3, ref_agree_swapped=0.8)
        content["annotations"][1].update(ref_agree=0.7, ref_agree_swapped=0.8)

    path = edited(people, tmp_path, mark)
    persons = read_persons(path, people / "images", lsp14)
    assert [p.annotation_id for p in persons if p.swapped] == [1]


def test_crowds_and_unlabelled_persons_are_left_out(people, lsp14, tmp_path):
    def change(content):
        content["annotations"][0]["iscrowd"] = 1
        content["annotations"][1].update(keypoints=[0] * 42, num_keypoints=0)

    path = edited(people, tmp_path, change)
    assert len(read_persons(path, people / "images", lsp14)) == 18


def set_first(**values):
    return lambda content: content["annotations"][0].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_first(keypoints=[1, 2, 2]), r"annotation 1 of .*keypoints has 3 numbers.*takes 42"),
        (set_first(keypoints=[float("nan")] * 42), "annotation 1 of .*a list of finite"),
        (set_first(bbox=[0, 0, -4, 9]), "annotation 1 of .*bbox is"),
        (set_first(image_id=99), "annotation 1 of .*image_id 99 is not among"),
        (set_first(image_id=[1]), r"annotation 1 of .*image_id is \[1\]; it takes an integer"),
        (set_first(keypoints=None), "annotation 1 of .*keypoints has 0 num"),
        (
            set_first(keypoints=["1"] * 42),
            "annotation 1 of .*keypoints is .*a list of finite numbers",
        ),
        (
            set_first(bbox=["0", "0", "4", "9"]),
            "annotation 1 of .*bbox is .*a list of finite numbers",
        ),
        (set_first(ref_agree="all"), "annotation 1 of .*ref_agree is 'all'; it takes a num"),
        (set_first(id=None), r"annotations\[0\] of .*: id is None; it takes an integer"),
        (lambda c: c["annotations"][0].pop("category_id"), "annotation 1 of .*lacks category_id"),
        (lambda c: c["images"][0].pop("id"), r"images\[0\] of .*: it lacks id"),
        (lambda c: c["images"][0].update(width="1"), r"images\[0\] of .*: width is '1'; it takes"),
        (lambda c: c["images"][0].pop("file_name"), "image 1 of .*: it lacks file_name"),
        (lambda c: c.update(annotations=[1]), r"annotations is \[1\]; it takes a list of objects"),
        (lambda c: c.update(categories=None), "categories is None; it takes a list of objects"),
        (lambda c: c["images"][0].update(file_name="no.png"), "image 1 of .*no.png does not"),
        (
            lambda c: c["categories"][0].update(keypoints=["nose"]),
            "it has 1 joints, the skeleton 14",
        ),
        (lambda c: c.pop("images"), r"lacks \['images'\]"),
        (lambda c: c["annotations"].clear(), "no person"),
    ],
)
def test_broken_annotations_are_named(people, lsp14, tmp_path, change, message):
    path = edited(people, tmp_path, change)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read_persons(path, people / "images", lsp14)


def test_missing_or_unreadable_files_are_named(people, lsp14, tmp_path, persons):
    with pytest.raises(FileNotFoundError, match=r"none.json does not exist"):
        read_persons(tmp_path / "none.json", people, lsp14)
    (tmp_path / "half.json").write_text('{"images": [')
    with pytest.raises(ValueError, match=r"half.json is not JSON"):
        read_persons(tmp_path / "half.json", people, lsp14)
    broken = tmp_path / "broken.png"
    broken.write_bytes(persons[0].image.read_bytes()[:40])
    with pytest.raises(ValueError, match=r"broken.png cannot be decoded"):
        read_image(replace(persons[0], image=broken))
    with pytest.raises(ValueError, match=r"has 112x112 pixels, its annotation file says 50x112"):
        read_image(replace(persons[0], width=50))


@pytest.fixture
def whole():
    """A JPEG with a thumbnail, which is a JPEG of its own, ahead of the picture."""

    def encode(picture):
        return cv2.imencode(".jpg", picture)[1].tobytes()

    noise = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    picture, thumbnail = encode(noise), encode(noise[:8, :8])
    return b"\xff\xd8\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + picture[2:]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"\n",
        lambda data: data + bytes(9000),
        lambda data: data + np.random.default_rng(1).bytes(9000),
        lambda data: data + data,
        lambda data: data[:-1],
        lambda data: data[:-2],
    ],
    ids=["a byte", "padding", "anything", "a second picture", "half a marker", "no marker"],
)
def test_whole_jpegs_are_read_whatever_follows_them(tmp_path, whole, change):
    path = tmp_path / "x.jpg"
    path.write_bytes(whole)
    expected = read_picture(path)
    path.write_bytes(change(whole))
    np.testing.assert_array_equal(read_picture(path), expected)


def test_a_scan_that_ends_in_a_stuffed_zero_is_whole(tmp_path):
    """FF 00 stands for a byte FF, and is no padding."""
    path, rng, found = tmp_path / "x.jpg", np.random.default_rng(0), 0
    for _ in range(200):
        data = cv2.imencode(".jpg", rng.integers(0, 255, (16, 16, 3), dtype=np.uint8))[1].tobytes()
        path.write_bytes(data[:-2])
        read_picture(path)
        found += data[:-2].endswith(b"\xff\x00")
    assert found


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_jpegs_that_are_cut_short_are_refused(tmp_path, whole, share):
    path, kept = tmp_path / "x.jpg", int(share * len(whole))
    # The last: a download into a file that had its full size from the start.
    for data in (whole[:kept], whole[:kept] + bytes(len(whole) - kept)):
        path.write_bytes(data)
        assert cv2.imread(str(path)) is not None
        with pytest.raises(ValueError, match=f"^image {path} is damaged: "):
            read_picture(path)


def test_pictures_that_are_none_are_refused(tmp_path, whole):
    path = tmp_path / "x.jpg"
    for data in (b"", b"no picture", whole[:2], whole[:300]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"^image {path} (cannot be decoded|is damaged): "):
            read_picture(path)


def test_a_worker_says_what_is_wrong_in_one_line(persons, lsp14, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    people = [replace(persons[0], image=broken)]
    data = CropDataset(people, lsp14, input_size=(64, 64), stride=2)
    with pytest.raises(ValueError, match=rf"^image {broken} cannot be decoded: "):
        list(read_batches(make_loader(data, 1, 1)))


def test_skeleton_files_are_checked(tmp_path):
    assert len(load_skeleton("coco17")) == 17
    order = load_skeleton("coco17").flip_order()
    assert order == [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
    with pytest.raises(
        FileNotFoundError, match="nor one of aic14, coco17, crowdpose14, lsp14, mpii16"
    ):
        load_skeleton("hand")
    path = tmp_path / "s.yaml"
    for content in (b"joints: [a", b"a: *b", b"a: 1\na: 2", b"a: " + b"[" * 100000):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"^skeleton file {path} is not YAML: "):
            load_skeleton(str(path))
    path.write_text("name: s\njoints: [a]\n")
    with pytest.raises(ValueError, match=r"it takes .*, and may have"):
        load_skeleton(str(path))
    path.write_text(
        "name: s\njoints: [a, b]\nflip_pairs: [[a, c]]\nlimbs: []\nsigmas: [1, 1]\n"
        "pck_normaliser: [a, b]\npck_joints: [a]\n"
    )
    with pytest.raises(ValueError, match=r"\['c'\] not among"):
        load_skeleton(str(path))


def test_real_photographs(shared_data, lsp14):
    folder = shared_data / "lspet"
    persons = read_persons(folder / "annotations/lspet_val.json", folder / "images", lsp14)
    data = CropDataset(persons, lsp14, input_size=(96, 96), stride=2)
    item = data[0]
    assert len(persons) == 400
    assert item["image"].std() > 5
    assert item["weight"].sum() == 14
