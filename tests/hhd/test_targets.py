"""Target heatmaps against mmpose's and HRNet's."""

import json
from pathlib import Path

import numpy as np
import torch

from hhd.data.targets import gaussian_maps

KINDS = {"encode_msra": False, "hrnet_generate_target": False, "encode_msra_unbiased": True}


def test_golden_maps(golden: Path):
    arrays = np.load(golden / "codecs.npz")
    cases = [
        c for c in json.loads((golden / "codecs_cases.json").read_text()) if c["kind"] in KINDS
    ]
    assert len(cases) == 6
    for case in cases:
        number, size = case["id"], tuple(case["heatmap_size_wh"])
        stride = np.array(case["input_size_wh"]) / size
        coords = torch.from_numpy(arrays[f"{number}_keypoints"] / stride)[None].double()
        visible = torch.from_numpy(arrays[f"{number}_visible"])[None].double()
        unbiased = KINDS[case["kind"]]
        maps, weight = gaussian_maps(coords, visible, size, case["sigma"], unbiased=unbiased)
        np.testing.assert_allclose(maps[0], arrays[f"{number}_heatmaps"], atol=1e-6)
        np.testing.assert_array_equal(weight[0], arrays[f"{number}_keypoint_weights"].reshape(-1))


def test_an_unlabelled_joint_has_an_empty_map():
    maps, weight = gaussian_maps(torch.tensor([[[3.0, 4.0]]]), torch.zeros(1, 1), (8, 6), 1.5)
    assert maps.shape == (1, 1, 6, 8)
    assert not maps.any()
    assert not weight.any()
