"""Target maps and labels against mmpose's and HRNet's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from golden_codecs import cases

from hhd.data.affine import cells_per_pixel
from hhd.data.targets import combined_maps, gaussian_maps, integral_targets

KINDS = {
    "encode_msra": "msra",
    "hrnet_generate_target": "msra",
    "encode_msra_unbiased": "dark",
    "encode_udp_gaussian": "udp",
}


def joints(case, affine):
    """Coordinates [1, K, 2] in heatmap pixels and visibility [1, K]."""
    size = tuple(case["heatmap_size_wh"])
    scale = cells_per_pixel(tuple(case["input_size_wh"]), size, affine)
    # Single precision, as upstream: it moves a Gaussian's flank by more than the tolerance.
    coords = torch.from_numpy(case["arrays"]["keypoints"] / (1 / scale).astype(np.float32))[None]
    return coords, torch.from_numpy(case["arrays"]["visible"])[None].double(), size


@pytest.mark.parametrize("kind", KINDS)
def test_golden_maps(golden: Path, kind):
    for case in cases(golden, kind):
        affine = "udp" if KINDS[kind] == "udp" else "standard"
        coords, visible, size = joints(case, affine)
        maps, weight = gaussian_maps(coords, visible, size, case["sigma"], KINDS[kind])
        np.testing.assert_allclose(maps[0], case["arrays"]["heatmaps"], atol=1e-6)
        np.testing.assert_array_equal(weight[0], case["arrays"]["keypoint_weights"].reshape(-1))
        assert 0 < (weight == 0).sum() < weight.numel()


def test_golden_combined_maps(golden: Path):
    for case in cases(golden, "encode_udp_combined"):
        coords, visible, size = joints(case, "udp")
        maps = combined_maps(coords, visible, size, case["radius_factor"])
        np.testing.assert_allclose(maps[0], case["arrays"]["heatmaps"], atol=2e-6)


@pytest.mark.parametrize("kind", ["encode_integral_label", "encode_integral_label_unnormalised"])
def test_golden_integral_labels(golden: Path, kind):
    for case in cases(golden, kind):
        coords, visible, size = joints(case, "standard")
        unit, maps = integral_targets(coords, visible, size, case["sigma"])
        arrays = case["arrays"]
        np.testing.assert_allclose(unit[0], arrays["keypoint_labels"][0], atol=1e-6)
        if kind == "encode_integral_label":
            np.testing.assert_allclose(maps[0], arrays["heatmaps"], atol=1e-6)


def test_golden_integral_weights(golden: Path, people, lsp14):
    """Labelled and inside the input, as the data set weighs a joint."""
    from hhd.data.coco import read_persons
    from hhd.data.dataset import CropDataset

    persons = read_persons(people / "annotations.json", people / "images", lsp14)
    for case in cases(golden, "encode_integral_label"):
        data = CropDataset(persons, lsp14, input_size=tuple(case["input_size_wh"]), stride=4)
        arrays = case["arrays"]
        _, weight = data.targets(arrays["keypoints"].astype(np.float64), arrays["visible"] > 0.5)
        np.testing.assert_array_equal(weight, arrays["keypoint_weights"][0])


def test_an_unlabelled_joint_has_an_empty_map():
    coords, nothing = torch.tensor([[[3.0, 4.0]]]), torch.zeros(1, 1)
    maps, weight = gaussian_maps(coords, nothing, (8, 6), 1.5)
    assert maps.shape == (1, 1, 6, 8)
    assert not maps.any()
    assert not weight.any()
    assert not combined_maps(coords, nothing, (8, 6)).any()
    assert not integral_targets(coords, nothing, (8, 6), 1.5)[1].any()
