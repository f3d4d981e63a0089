"""Decoders and the flip test against mmpose's and HRNet's, and that the flip test is unbiased."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_codecs import cases, maps_pair, rules, student_maps

from hhd.data.affine import cells_per_pixel
from hhd.data.skeleton import load_skeleton
from hhd.data.targets import combined_maps, gaussian_maps
from hhd.evaluation.decode import (
    Decoder,
    blur_maps,
    dark_kernel,
    dark_udp,
    decode_combined,
    flip_coords,
    quarter_offset,
)
from hhd.models.base import PoseModel
from hhd.models.files import ModelCard
from hhd.teach.grid import flip_maps


def card(**changes) -> ModelCard:
    coco17 = load_skeleton("coco17")
    own = ModelCard("small_student", "heatmap", (192, 256), 1.25, 10.0, 2.0, coco17)
    return replace(own, **changes)


def in_input_pixels(coords, case):
    """mmpose's standard codec."""
    scale = cells_per_pixel(tuple(case["input_size_wh"]), tuple(case["heatmap_size_wh"]))
    return coords.double().numpy() / scale


def udp_in_input_pixels(coords, case):
    """mmpose's UDP decoder divides by heatmap - 1 and multiplies by the input's *whole* size."""
    heatmap_size, input_size = (np.array(case[f"{n}_size_wh"]) for n in ("heatmap", "input"))
    return coords.double().numpy() / (heatmap_size - 1) * input_size


@pytest.mark.parametrize("way", ["plain", "quarter", "dark"])
def test_golden_decoders(golden: Path, way):
    kind = {
        "plain": "argmax_mmpose",
        "quarter": "decode_msra",
        "dark": "decode_msra_unbiased_dark",
    }[way]
    for case in cases(golden, kind):
        maps = torch.from_numpy(student_maps(golden, case))
        coords, height = Decoder(card(heatmap_decode=way)).decode(maps)
        arrays = case["arrays"]
        score = arrays["vals"] if way == "plain" else arrays["scores"]
        np.testing.assert_array_equal(height, score)
        found = height > 0
        if way == "plain":
            np.testing.assert_array_equal(coords[found], arrays["locs"][found])
            continue
        error = np.abs(in_input_pixels(coords, case) - arrays["keypoints"])[found]
        assert error.max() <= (0 if way == "quarter" else 1e-3)


def test_golden_quarter_offset_of_hrnet(golden: Path):
    for case in cases(golden, "hrnet_final_preds"):
        maps = torch.from_numpy(student_maps(golden, case))
        coords = quarter_offset(maps, both_axes=True).double().numpy()
        width, height = case["heatmap_size_wh"]
        # HRNet's numbers are image pixels: its affine, whose scale is the crop width's alone.
        centers = np.array(case["center"])[:, None]
        pixel = 200 * np.array(case["scale_over_200"])[:, None, :1] / width
        in_image = (coords - np.array([width, height]) / 2) * pixel + centers
        found = case["arrays"]["maxvals"][..., 0] > 0
        expected = case["arrays"]["final_preds"]
        np.testing.assert_allclose(in_image[found], expected[found], atol=2e-3)
        apart = quarter_offset(maps).double().numpy()
        assert (apart != coords).any(axis=-1).sum() > 2


def on_the_input(case):
    """mmpose's coordinates, which may leave the input where ours stay on its border."""
    return np.clip(case["arrays"]["keypoints"], 0, case["input_size_wh"])


def test_golden_udp_gaussian(golden: Path):
    for case in cases(golden, "decode_udp_gaussian"):
        maps = torch.from_numpy(student_maps(golden, case))
        coords = dark_udp(maps, case["blur_kernel_size"])
        found = case["arrays"]["scores"] > 0
        error = udp_in_input_pixels(coords, case) - on_the_input(case)
        assert np.abs(error[found]).max() < 1e-3
        assert coords.isfinite().all()


@pytest.mark.parametrize("kind", ["roundtrip_udp_gaussian", "roundtrip_udp_combined"])
def test_golden_udp_round_trips(golden: Path, kind):
    for case in cases(golden, kind):
        arrays, size = case["arrays"], tuple(case["heatmap_size_wh"])
        scale = cells_per_pixel(tuple(case["input_size_wh"]), size, "udp")
        coords = torch.from_numpy(arrays["keypoints_in"].astype(np.float64) * scale)[None]
        visible = torch.from_numpy(arrays["visible"])[None]
        if kind == "roundtrip_udp_gaussian":
            maps, weight = gaussian_maps(coords, visible, size, case["sigma"], "udp")
            found, score = dark_udp(maps, case["blur_kernel_size"]), maps.amax((2, 3))
        else:
            found, score = decode_combined(
                combined_maps(coords, visible, size), case["blur_kernel_size"]
            )
            weight = visible
        drawn = (weight[0] > 0) & torch.from_numpy(arrays["scores"] > 0)
        assert drawn.sum() > 8
        np.testing.assert_allclose(score[0][drawn], arrays["scores"][drawn], atol=1e-5)
        error = udp_in_input_pixels(found[0], case) - on_the_input(case)
        assert np.abs(error[drawn]).max() < 1e-3


def test_golden_blur(golden: Path):
    for case in cases(golden, "gaussian_blur_modulated"):
        expected = case["arrays"]["blurred"]
        maps = torch.from_numpy(student_maps(golden, case)[0, : len(expected)])[None]
        np.testing.assert_allclose(blur_maps(maps, case["kernel"])[0], expected, atol=1e-5)


def test_golden_flip_merge(golden: Path):
    for case in cases(golden, "flip_merge_mmpose"):
        maps, mirrored = (
            torch.from_numpy(maps_pair(golden, case[name])[0])
            for name in ("inputs", "inputs_flipped")
        )
        merged = (maps + flip_maps(mirrored, case["flip_indices"], float(case["shift"]))) / 2
        arrays = case["arrays"]
        assert arrays["hrnet_max_abs_diff_to_mmpose"] == 0
        if "merged_b0" in arrays:
            np.testing.assert_allclose(merged[0], arrays["merged_b0"], atol=1e-6)
        coords, height = Decoder(card(heatmap_decode="quarter")).decode(merged[:1])
        np.testing.assert_array_equal(in_input_pixels(coords, case)[0], arrays["decoded_msra_b0"])
        np.testing.assert_array_equal(height[0], arrays["scores_b0"])


def test_golden_flipped_coordinates(golden: Path):
    for case in cases(golden, "flip_coordinates_mmpose"):
        size = np.array(case["heatmap_size_wh"])
        joints = len(case["flip_indices"])
        unit = rules(golden).golden_input(case["seed"], (2, joints, 2), 0.3) + 0.5
        coords = torch.from_numpy(unit).double() * torch.from_numpy(size)
        stride = case["input_size_wh"][0] / size[0]
        last = size[0] - (1 / stride if case["shift"] else 0)
        flipped = flip_coords(coords, case["flip_indices"], last)
        unit = flipped.numpy() / size
        np.testing.assert_allclose(unit, case["arrays"]["flipped"], atol=1e-6)


def test_dark_kernels_of_mmpose():
    assert [dark_kernel(sigma) for sigma in (1.5, 2.0, 3.0)] == [7, 11, 17]


def test_maps_of_the_mirror_come_back():
    maps = torch.arange(12.0).view(1, 2, 1, 6)
    whole = flip_maps(maps, [1, 0], 1.0)  # HRNet's shift_heatmap
    assert whole[0, 0, 0].tolist() == [11, 11, 10, 9, 8, 7]
    half = flip_maps(maps, [1, 0], 0.5)
    assert half[0, 0, 0].tolist() == [11, 10.5, 9.5, 8.5, 7.5, 6.5]


class Blob(PoseModel):
    """Gives maps whose peak is at the bright pixel of the image: channel 0 in red, 1 in green."""

    stride = 2

    def __init__(self, affine="standard") -> None:
        super().__init__()
        self.affine = affine

    def forward(self, images):
        if self.affine == "standard":
            return torch.nn.functional.avg_pool2d(images[:, :2], 3, stride=2, padding=1)
        size = images.shape[2] // 2, images.shape[3] // 2
        return torch.nn.functional.interpolate(
            images[:, :2], size=size, mode="bilinear", align_corners=True
        )


@pytest.mark.parametrize("task", ["integral", "heatmap"])
@pytest.mark.parametrize("flip_test", ["none", "coordinates", "heatmaps"])
@pytest.mark.parametrize("affine", ["standard", "udp"])
def test_the_flip_test_is_unbiased(task, flip_test, affine):
    two = replace(
        load_skeleton("lsp14"), joints=("left_shoulder", "right_hip"), flip_pairs=(), limbs=(),
        sigmas=(0.1, 0.1), pck_joints=(), upper_body=(),
    )  # fmt: skip
    own = card(
        task=task, input_size=(48, 40), beta=10.0, sigma=1.5, skeleton=two, decode_window=9,
        flip_test=flip_test, affine=affine,
        heatmap_decode="dark_udp" if affine == "udp" else "dark",
    )  # fmt: skip
    rows, columns = torch.arange(40.0)[:, None], torch.arange(48.0)
    blob = torch.exp(-((rows - 22) ** 2 + (columns - 31) ** 2) / 18)
    images = torch.stack([blob, blob, blob])[None]
    decoder, model = Decoder(own), Blob(affine)
    coords, confidence = decoder(model, images)
    # Half a pixel of the input is a quarter of a cell: averaging must not add to it.
    found = coords[0].double().numpy() / decoder.cells_per_pixel(images, model.stride)
    np.testing.assert_allclose(found, [[31, 22]] * 2, atol=0.2)
    assert confidence.shape == (1, 2)


def test_a_whole_cell_is_a_quarter_of_one_too_far():
    """The shift of HRNet and mmpose at stride 2: half a cell too far, halved by the average."""
    one = replace(
        load_skeleton("lsp14"), joints=("neck",), flip_pairs=(), limbs=(), sigmas=(0.1,),
        pck_joints=(), pck_normaliser="box", upper_body=(),
    )  # fmt: skip
    rows, columns = torch.arange(40.0)[:, None], torch.arange(48.0)
    image = torch.exp(-((rows - 22) ** 2 + (columns - 30) ** 2) / 18).expand(1, 3, 40, 48)
    cards = [
        card(skeleton=one, input_size=(48, 40), flip_test="heatmaps", flip_shift=shift, sigma=2.0)
        for shift in ("exact", "cell")
    ]

    class One(Blob):
        def forward(self, images):
            return super().forward(images)[:, :1]

    exact, cell = (float(Decoder(c)(One(), image)[0][0, 0, 0]) for c in cards)
    assert exact == pytest.approx(15, abs=0.02)
    assert cell - exact == pytest.approx(0.25, abs=0.05)


def test_the_integral_students_own_confidence():
    logits = torch.zeros(1, 2, 12, 12)
    logits[0, 0, 5, 6] = 3.0
    own, constant = (
        Decoder(card(task="integral", confidence=c)).decode(logits)[1] for c in ("mass", "constant")
    )
    assert own[0, 0] > 0.99
    assert own[0, 1] == pytest.approx(25 / 144)
    assert constant.tolist() == [[1.0, 1.0]]
