"""Value for value what HRNet and mmpose give (golden codecs and integral vectors)."""

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hhd_kernels.coordinates import heatmap_to_input, input_to_heatmap
from host.samples import Array, load_host

host = load_host()

SIZES = ["192x256", "256x256"]


class Codecs:
    """The cases of one input size, with their arrays and regenerated maps."""

    def __init__(self, folder: Path, input_size: str) -> None:
        self.folder = folder
        self.arrays = load_arrays(folder / "codecs.npz")
        cases = json.loads((folder / "codecs_cases.json").read_text())
        size = [int(n) for n in input_size.split("x")]
        self.cases = {c["kind"]: c for c in cases if c["input_size_wh"] == size}

    def array(self, kind: str, name: str) -> Array:
        return self.arrays[f"{self.cases[kind]['id']}_{name}"]

    def sizes(self, kind: str) -> tuple[tuple[int, int], tuple[int, int]]:
        """(W, H) of the maps and of the input."""
        case = self.cases[kind]
        return tuple(case["heatmap_size_wh"]), tuple(case["input_size_wh"])

    def maps(self, kind: str) -> Array:
        """The maps that the original code decoded, bit for bit."""
        student = regenerate(self.folder, self.cases[kind]["inputs"])
        student[1, 0] = 0
        student[1, 1] = -np.abs(student[1, 1])
        student[1, 2] = 0
        student[1, 2, 5, [6, 9]] = 1
        assert rules(self.folder).digest(student) == self.cases[kind]["inputs"]["sha"]
        return student


@cache
def load_arrays(path: Path) -> dict[str, Array]:
    return dict(np.load(path))


@cache
def rules(folder: Path) -> Any:
    """The module that regenerates golden inputs."""
    spec = importlib.util.spec_from_file_location("golden_weights", folder / "golden_weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def regenerate(folder: Path, inputs: dict[str, Any]) -> Array:
    """The student's maps of one case's `inputs`."""
    names = ("gain_s", "offset_s", "noise_s", "noise_t", "radius")
    return rules(folder).heatmap_pair(
        inputs["seed"], inputs["H"], inputs["W"], inputs["centers"], **{n: inputs[n] for n in names}
    )[0]


@pytest.fixture(params=SIZES)
def codecs(request: pytest.FixtureRequest, golden: Path) -> Codecs:
    return Codecs(golden, request.param)


def test_plain_is_mmpose_argmax(codecs: Codecs) -> None:
    coords, score = host.decode_plain(codecs.maps("argmax_mmpose"), convention="mmpose")
    np.testing.assert_array_equal(coords, codecs.array("argmax_mmpose", "locs"))
    np.testing.assert_array_equal(score, codecs.array("argmax_mmpose", "vals"))
    assert (coords[1, :2] == -1).all()


def test_plain_is_hrnet_max_preds(codecs: Codecs) -> None:
    coords, score = host.decode_plain(codecs.maps("hrnet_final_preds"), convention="hrnet")
    np.testing.assert_array_equal(coords, codecs.array("hrnet_final_preds", "max_preds"))
    np.testing.assert_array_equal(score, codecs.array("hrnet_final_preds", "maxvals")[..., 0])
    assert (coords[1, :2] == 0).all()


def test_quarter_is_mmpose_refined(codecs: Codecs) -> None:
    coords, score = host.decode_quarter(codecs.maps("decode_msra"), convention="mmpose")
    in_input = heatmap_to_input(coords, *codecs.sizes("decode_msra"))
    np.testing.assert_array_equal(in_input, codecs.array("decode_msra", "keypoints"))
    np.testing.assert_array_equal(score, codecs.array("decode_msra", "scores"))


def test_quarter_is_hrnet_final_preds(codecs: Codecs) -> None:
    kind = "hrnet_final_preds"
    coords, _ = host.decode_quarter(codecs.maps(kind), convention="hrnet")
    (width, height), _ = codecs.sizes(kind)
    # The golden values are image pixels: undo HRNet's affine, whose scale is the box width's alone.
    centers = np.array(codecs.cases[kind]["center"])[:, None]
    pixel = 200 * np.array(codecs.cases[kind]["scale_over_200"])[:, None, :1] / width
    expected = (codecs.array(kind, "final_preds") - centers) / pixel + np.array([width, height]) / 2
    np.testing.assert_allclose(coords, expected, rtol=0, atol=1e-4)


def test_conventions_differ_where_the_golden_maps_reach_the_border(codecs: Codecs) -> None:
    maps = codecs.maps("decode_msra")
    mmpose, _ = host.decode_quarter(maps, convention="mmpose")
    hrnet, _ = host.decode_quarter(maps, convention="hrnet")
    assert (mmpose != hrnet).any(axis=-1).sum() > 2


def test_dark_is_mmpose_unbiased(codecs: Codecs) -> None:
    kind = "decode_msra_unbiased_dark"
    heatmap_size, input_size = codecs.sizes(kind)
    coords, score = host.decode_dark(codecs.maps(kind), blur_kernel=11, convention="mmpose")
    expected = input_to_heatmap(codecs.array(kind, "keypoints"), heatmap_size, input_size)
    np.testing.assert_allclose(coords, expected, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(score, codecs.array(kind, "scores"))
    assert (coords != np.round(coords)).any(axis=-1).sum() > 10


@pytest.mark.parametrize(
    ("kind", "weights_axis"),
    [
        ("encode_msra", 0),
        ("encode_msra_unbiased", 0),
        ("hrnet_generate_target", None),
    ],
)
def test_encode(codecs: Codecs, kind: str, weights_axis: int | None) -> None:
    heatmap_size, input_size = codecs.sizes(kind)
    encode = host.encode_dark if "unbiased" in kind else host.encode_msra
    points = input_to_heatmap(codecs.array(kind, "keypoints"), heatmap_size, input_size)
    maps, weights = encode(points, codecs.array(kind, "visible"), heatmap_size, sigma=2.0)
    expected = codecs.array(kind, "keypoint_weights")
    np.testing.assert_allclose(maps, codecs.array(kind, "heatmaps"), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(weights, expected if weights_axis is None else expected[0])
    assert 0 < (weights == 0).sum() < len(weights)


@pytest.mark.parametrize("kind", ["roundtrip_msra", "roundtrip_msra_unbiased_dark"])
def test_encode_then_decode(codecs: Codecs, kind: str) -> None:
    heatmap_size, input_size = codecs.sizes(kind)
    unbiased = "unbiased" in kind
    encode, decode = (
        (host.encode_dark, host.decode_dark)
        if unbiased
        else (host.encode_msra, host.decode_quarter)
    )
    points = input_to_heatmap(codecs.array(kind, "keypoints_in"), heatmap_size, input_size)
    maps, _ = encode(points, codecs.array(kind, "visible"), heatmap_size, sigma=2.0)
    coords, score = decode(maps)
    in_input = heatmap_to_input(coords, heatmap_size, input_size)
    atol = 1e-3 if unbiased else 0
    np.testing.assert_allclose(in_input, codecs.array(kind, "keypoints"), rtol=0, atol=atol)
    np.testing.assert_allclose(score, codecs.array(kind, "scores"), rtol=0, atol=1e-6)


def test_soft_argmax_is_mmpose_integral_head(golden: Path) -> None:
    arrays = load_arrays(golden / "integral.npz")
    cases = json.loads((golden / "integral_cases.json").read_text())
    plain = [c for c in cases if c["kind"] == "mmpose_integral" and not c["debias"]]
    assert {c["beta"] for c in plain} == {1.0, 10.0}
    for case in plain:
        logits = regenerate(golden, case["inputs"])
        assert rules(golden).digest(logits) == case["inputs"]["sha_logits"]
        coords, _ = host.soft_argmax_numpy(logits, beta=case["beta"])
        # mmpose counts in map widths and heights.
        unit = coords / np.array([case["inputs"]["W"], case["inputs"]["H"]])
        expected = arrays[f"mmpose_{case['id']}_coords"]
        np.testing.assert_allclose(unit, expected, rtol=0, atol=1e-6)
