"""Teacher maps: grids, the warp that goes with the picture, joint maps, and what is refused."""

import json

import numpy as np
import pytest
import torch

from hhd.data.affine import compose, invert
from hhd.data.augment import UNCHANGED, CropChange
from hhd.data.coco import read_persons
from hhd.data.dataset import CropDataset
from hhd.data.targets import gaussian_maps
from hhd.models import build_model
from hhd.models.files import ModelCard, save_model
from hhd.teach.grid import grid_axis, resample_maps
from hhd.teach.maps import TeacherMaps
from hhd.teach.teachers import label_teacher, model_teacher


@pytest.fixture
def persons(people, lsp14):
    return read_persons(people / "annotations.json", people / "images", lsp14)


@pytest.fixture
def stored(persons, lsp14, tmp_path):
    """Gaussians at the labels of the unaugmented crops, 24x24 over 96x96, in reverse order."""
    data = CropDataset(persons, lsp14, input_size=(96, 96), stride=4)
    items = [data[i] for i in reversed(range(len(data)))]
    coords = torch.from_numpy(np.stack([item["coords"] for item in items]))
    maps, _ = gaussian_maps(coords, torch.ones(coords.shape[:2]), (24, 24), 1.5, "dark")
    np.save(tmp_path / "maps.npy", maps.numpy().astype(np.float16))
    ids = [p.annotation_id for p in reversed(persons)]
    (tmp_path / "maps.json").write_text(json.dumps(ids))
    np.savez(tmp_path / "ids.npz", ids=np.array(ids))
    return tmp_path / "maps.npy"


@pytest.mark.parametrize("change", [CropChange(0.9, 25, False), CropChange(1.1, -40, True)])
@pytest.mark.parametrize("ids", ["maps.json", "ids.npz"])
def test_maps_move_with_the_picture(stored, persons, lsp14, change, ids):
    maps = TeacherMaps(stored, stored.parent / ids, lsp14, input_size=(96, 96), stride=2)
    data = CropDataset(persons, lsp14, input_size=(96, 96), stride=2)
    for person in persons[:5]:
        matrix = data.crop_matrix(person, change)
        between = compose(matrix, invert(data.crop_matrix(person, UNCHANGED)))
        found = maps.crop(person.annotation_id, between, change.flip)
        coords, weight = data.targets(*data.joints(person, matrix, change.flip))
        well_inside = ((coords > 8) & (coords < 39)).all(axis=1) & (weight > 0)
        assert well_inside.sum() > 4
        for joint in np.flatnonzero(well_inside):
            mass = found[joint] / found[joint].sum()
            centre = (mass.sum(axis=0) @ np.arange(48), mass.sum(axis=1) @ np.arange(48))
            np.testing.assert_allclose(centre, coords[joint], atol=0.15)


def test_joint_map_and_activation(stored, persons, lsp14):
    joint_map = [-1, *range(13)]
    maps = TeacherMaps(
        stored, stored.with_suffix(".json"), lsp14, input_size=(96, 96), stride=4,
        activation="sigmoid", joint_map=joint_map,
    )  # fmt: skip
    found = maps.crop(persons[2].annotation_id, np.eye(2, 3), False)
    values = np.load(stored)[len(persons) - 3].astype(np.float32)
    assert not found[0].any()
    np.testing.assert_allclose(found[1:], 1 / (1 + np.exp(-values[:13])), atol=1e-6)


def test_grids_by_name():
    """A cell's input pixel: left-aligned, tiling, or corner to corner."""
    conventions = ("stride", "half_pixel", "align_corners")
    axes = [grid_axis(24, 96, convention) for convention in conventions]
    assert [axis.offset for axis in axes] == [0, 1.5, 0]
    assert [axis.scale * 23 + axis.offset for axis in axes] == pytest.approx([92, 93.5, 95])


def test_resampled_maps_hold_the_same_points():
    ramp = torch.arange(24.0).expand(1, 1, 24, 24)
    for convention in ("stride", "half_pixel", "align_corners"):
        axis = grid_axis(24, 96, convention)
        finer = resample_maps(ramp * axis.scale + axis.offset, (48, 48), (96, 96), convention)
        assert finer.shape == (1, 1, 48, 48)
        # Every cell holds its own input pixel.
        torch.testing.assert_close(finer[0, 0, 0, 2:44], torch.arange(2.0, 44.0) * 2)
    assert resample_maps(ramp, (24, 24), (96, 96), "stride") is ramp


def test_label_teacher_is_silent_where_there_is_no_label():
    batch = {"coords": torch.full((1, 2, 2), 5.25), "weight": torch.tensor([[1.0, 0.0]])}
    maps = label_teacher((12, 10), 1.5)(batch, torch.zeros(0))
    assert maps[0, 0].argmax() == 5 * 12 + 5
    assert not maps[0, 1].any()


def test_a_network_teaches_by_joint_map(lsp14, tmp_path):
    model = build_model("small_teacher", 14).eval()
    path = tmp_path / "t.safetensors"
    save_model(path, model, ModelCard("small_teacher", "heatmap", (64, 64), 1.25, 10.0, 1.5, lsp14))
    images = torch.randn(2, 3, 64, 64)
    options = {"input_size": (64, 64), "size": (32, 32), "device": torch.device("cpu")}
    same = model_teacher(path, lsp14, joint_map=None, **options)
    torch.testing.assert_close(same({}, images), model(images), atol=1e-5, rtol=1e-4)
    mapped = model_teacher(path, lsp14, joint_map=[13, -1, *range(12)], **options)({}, images)
    torch.testing.assert_close(mapped[:, 0], same({}, images)[:, 13])
    assert not mapped[:, 1].any()
    assert not mapped.requires_grad
    with pytest.raises(ValueError, match=r"takes images of \(64, 64\), input_size is \(96, 96\)"):
        model_teacher(path, lsp14, joint_map=None, **{**options, "input_size": (96, 96)})


def test_what_does_not_fit_is_named(stored, persons, lsp14, tmp_path):
    own_ids = stored.with_suffix(".json")

    def teacher(path=stored, ids=own_ids, **options):
        return TeacherMaps(path, ids, lsp14, input_size=(96, 96), stride=2, **options)

    with pytest.raises(FileNotFoundError, match=r"teacher_maps .*none.npy does not exist"):
        teacher(path=tmp_path / "none.npy")
    with pytest.raises(FileNotFoundError, match=r"teacher_ids .*none.json does not exist"):
        teacher(ids=tmp_path / "none.json")
    (tmp_path / "short.json").write_text("[1, 1]")
    with pytest.raises(ValueError, match=r"has 2 ids \(1 distinct\) for 20 maps"):
        teacher(ids=tmp_path / "short.json")
    for content in ("", "{", "5", "{}", '["a"]', "[[1]]"):
        (tmp_path / "odd.json").write_text(content)
        with pytest.raises(ValueError, match=r"^teacher_ids .*odd.json is (not JSON|.*; it takes)"):
            teacher(ids=tmp_path / "odd.json")
    np.savez(tmp_path / "odd.npz", numbers=np.arange(20))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"^teacher_ids .*odd.npz cannot be read: "):
            teacher(ids=tmp_path / "odd.npz")
        (tmp_path / "odd.npz").write_bytes((tmp_path / "odd.npz").read_bytes()[:90])
    for content in (b"", b"no array", stored.read_bytes()[:500]):
        (tmp_path / "odd.npy").write_bytes(content)
        with pytest.raises(ValueError, match=r"^teacher_maps .*odd.npy is no whole .npy file: "):
            teacher(path=tmp_path / "odd.npy")
    np.save(tmp_path / "flat.npy", np.zeros((0, 3, 4, 4), dtype=np.float32))
    with pytest.raises(ValueError, match=r"is float32 \(0, 3, 4, 4\); it takes"):
        teacher(path=tmp_path / "flat.npy")
    np.save(tmp_path / "flat.npy", np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"is float64 \(4, 4\)"):
        teacher(path=tmp_path / "flat.npy")
    with pytest.raises(ValueError, match="takes 14 numbers from -1 to 13"):
        teacher(joint_map=[99] * 14)
    np.save(tmp_path / "few.npy", np.zeros((20, 3, 4, 4), dtype=np.float32))
    with pytest.raises(ValueError, match="give teacher_joint_map"):
        teacher(path=tmp_path / "few.npy")
    with pytest.raises(ValueError, match="lacks 1 annotations, 77 the first"):
        teacher().check_covers([1, 77])
