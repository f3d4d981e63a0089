"""soft_argmax equals mmpose's and dsntnn's expectations and gradients on their golden logits."""

from pathlib import Path

import numpy as np
import pytest

import oracle
from kernels.golden_cases import ANSWERERS, Array, Case, load_cases, relative_l2, rules

# The cases without mmpose's debiasing line.
MMPOSE = (0, 2, 5, 7, 10, 12, 15, 17)
DSNTNN = (4, 9, 14, 19)


def ask(answerer: str, logits: Array, grad_coords: Array, beta: float) -> tuple[Array, Array]:
    """Coordinates in heatmap pixels and the gradient at the logits."""
    if answerer == "oracle":
        coords, _ = oracle.soft_argmax(logits, beta)
        return coords, oracle.soft_argmax_backward(grad_coords, logits, beta)
    import torch

    import hhd_kernels as hk

    x = torch.as_tensor(logits).requires_grad_()
    with hk.use_backend(answerer):
        coords_tensor, _ = hk.soft_argmax(x, beta)
        upstream = torch.as_tensor(grad_coords).to(coords_tensor.dtype)
        (grad,) = torch.autograd.grad(coords_tensor, x, upstream)
    return coords_tensor.detach().cpu().numpy(), grad.cpu().numpy()


def case_and_logits(golden: Path, number: int) -> tuple[Case, Array, Array]:
    """The case, its logits, and its map's (W, H)."""
    case = load_cases(golden, "integral_cases.json")[number]
    inputs = case["inputs"]
    logits, _ = rules(golden).heatmap_pair(
        inputs["seed"],
        inputs["H"],
        inputs["W"],
        inputs["centers"],
        **{name: inputs[name] for name in ("gain_s", "offset_s", "noise_s", "noise_t", "radius")},
    )
    assert rules(golden).digest(logits) == inputs["sha_logits"]
    return case, logits, np.array([inputs["W"], inputs["H"]], dtype=np.float64)


@pytest.mark.parametrize("number", MMPOSE)
@pytest.mark.parametrize("answerer", ANSWERERS)
def test_mmpose(answerer: str, number: int, golden: Path) -> None:
    """Theirs are i / W."""
    case, logits, size = case_and_logits(golden, number)
    assert (case["kind"], case["debias"]) == ("mmpose_integral", False)
    probe = rules(golden).golden_input(case["probe_seed"], case["probe_shape"]) / size
    coords, grad = ask(answerer, logits, probe, case["beta"])
    with np.load(golden / "integral.npz") as stored:
        np.testing.assert_allclose(coords / size, stored[f"mmpose_{number}_coords"], atol=1e-6)
        expected = stored[f"mmpose_{number}_grad"]
    assert relative_l2(grad, expected) <= 1e-4
    np.testing.assert_allclose(grad, expected, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("number", DSNTNN)
@pytest.mark.parametrize("answerer", ANSWERERS)
def test_dsntnn(answerer: str, number: int, golden: Path) -> None:
    """Theirs are (2 i + 1) / W - 1."""
    case, logits, size = case_and_logits(golden, number)
    assert case["kind"] == "dsntnn"
    coords, _ = ask(answerer, logits, np.zeros((*logits.shape[:2], 2)), 1.0)
    with np.load(golden / "integral.npz") as stored:
        expected = stored[f"dsntnn_{number}_coords"]
    np.testing.assert_allclose((2 * coords + 1) / size - 1, expected, atol=2e-6)
