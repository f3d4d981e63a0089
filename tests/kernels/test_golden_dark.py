"""locate_teacher(refine="dark") equals mmpose's unbiased decoding on its golden heatmaps."""

from pathlib import Path

import numpy as np
import pytest

import oracle
from kernels.golden_cases import ANSWERERS, Array, load_cases, rules

CASES = (8, 31)
STRIDE = 4.0


def ask(answerer: str, heatmaps: Array, blur_kernel: int) -> Array:
    if answerer == "oracle":
        return oracle.locate_teacher(heatmaps, "dark", blur_kernel=blur_kernel)
    import torch

    import hhd_kernels as hk

    with hk.use_backend(answerer):
        centers = hk.locate_teacher(torch.as_tensor(heatmaps), "dark", blur_kernel=blur_kernel)
    return centers.cpu().numpy()


@pytest.mark.parametrize("number", CASES)
@pytest.mark.parametrize("answerer", ANSWERERS)
def test_unbiased_decoding(answerer: str, number: int, golden: Path) -> None:
    case = load_cases(golden, "codecs_cases.json")[number]
    assert case["kind"] == "decode_msra_unbiased_dark"
    inputs = case["inputs"]
    heatmaps, _ = rules(golden).heatmap_pair(
        inputs["seed"],
        inputs["H"],
        inputs["W"],
        inputs["centers"],
        **{name: inputs[name] for name in ("gain_s", "offset_s", "noise_s", "noise_t", "radius")},
    )
    # The first three joints of instance 1 are edited to maps without a peak to refine.
    with np.load(golden / "codecs.npz") as stored:
        expected = stored[f"{number}_keypoints"] / STRIDE
    centers = ask(answerer, heatmaps, case["blur_kernel_size"])
    kept = np.ones(expected.shape[:2], bool)
    kept[1, :3] = False
    np.testing.assert_allclose(centers[kept], expected[kept], atol=1e-3)
