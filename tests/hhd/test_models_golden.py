"""Networks against what the original code computes from the same weights and images.

The weights are generated (golden_weights.py), keyed by the original parameter names.
"""

import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hhd.models import build_model

pytestmark = pytest.mark.usefixtures("one_thread")
CASES = {
    "hrnet_w32": "hrnet_w32",
    "litehrnet18": "litehrnet18",
    "mobilenetv2_sb": "mobilenetv2",
    "resnet50_sb": "resnet50",
}


@dataclass(frozen=True)
class Case:
    """One network: what the original gave, the modules of the generator, and our network."""

    expected: dict[str, Any]
    arrays: Any
    generator: Any
    model: torch.nn.Module

    def input(self, mode: str) -> torch.Tensor:
        seed, shape = self.expected[f"seed_{mode}_input"], self.expected[f"{mode}_input_shape"]
        return torch.from_numpy(self.generator.golden_input(seed, shape))


def ours(key: str) -> str:
    """HRNet's own code has no prefixes; the others are mmpose's, which are ours."""
    if key.startswith(("backbone.", "head.")):
        return key
    return ("head." if key.startswith("final_layer.") else "backbone.") + key


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, golden: Path) -> Case:
    name = request.param
    path = golden / "golden_weights.py"
    spec = importlib.util.spec_from_file_location("golden_weights", path)
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    keys = json.loads((golden / f"{name}_keys.json").read_text())
    state = generator.golden_state(keys["shapes"], keys["norm_gain"])
    with torch.device("meta"):
        model = build_model(CASES[name], 17)
    tensors = {ours(key): torch.from_numpy(value) for key, value in state.items()}
    model.load_state_dict(tensors, assign=True)
    expected = json.loads((golden / f"{name}.json").read_text())
    return Case(expected, np.load(golden / f"{name}.npz"), generator, model)


def test_maps_are_the_originals(case):
    maps = case.arrays["output"]
    with torch.no_grad():
        out = case.model.eval()(case.input("eval")).numpy()
    np.testing.assert_allclose(out, maps, rtol=0, atol=1e-4 * np.abs(maps).max())


def test_training_is_the_originals(case):
    """Maps, gradients and running statistics of one step in training mode.

    In float64, so that the distance is the rounding of the original's float32 run alone.
    """
    model, expected = case.model.double().train(), case.expected
    images = case.input("train").double().requires_grad_()
    out = model(images)
    np.testing.assert_allclose(out.detach().numpy(), case.arrays["train_output"], rtol=0, atol=3e-3)

    probe = case.generator.golden_input(expected["seed_train_probe"], tuple(out.shape))
    (out * torch.from_numpy(probe)).sum().backward()
    got = {key: p.grad.norm().item() for key, p in model.named_parameters()}
    norms = {ours(key): norm for key, norm in expected["train_param_grad_l2"].items()}
    assert got.keys() == norms.keys()
    # Before another batch norm a bias has gradient 0: what was recorded of it is rounding.
    zero = {key for key, norm in got.items() if norm < 1e-9 * max(got.values())}
    assert max((norms[key] for key in zero), default=0) < 1e-6 * max(norms.values())
    errors = [abs(got[key] / norms[key] - 1) for key in norms.keys() - zero]
    assert np.quantile(errors, 0.95) < 5e-2
    if "train_input_grad_slice" in case.arrays:
        recorded = case.arrays["train_input_grad_slice"]
        error = np.linalg.norm(images.grad[:, :, ::8, ::8].numpy() - recorded)
        assert error < 5e-2 * np.linalg.norm(recorded)

    state = model.state_dict()
    for prefix, statistics in expected["train_bn_first8"].items():
        for name in ("running_mean", "running_var"):
            value = state[ours(prefix + name)][:8].numpy()
            np.testing.assert_allclose(value, statistics[name], rtol=1e-4, atol=1e-4)
    for prefix, sums in expected.get("train_bn_sums_mean_var", {}).items():
        value = [state[ours(f"{prefix}running_{name}")].sum() for name in ("mean", "var")]
        np.testing.assert_allclose(value, sums, rtol=1e-4, atol=1e-3)
    # Lite-HRNet evaluates 26 layers twice, two batch norms each.
    counts = {key: int(n) for key, n in state.items() if key.endswith("num_batches_tracked")}
    several = expected.get("bn_updated_more_than_once", {})
    assert {key: n for key, n in counts.items() if n != 1} == {
        ours(key): n for key, n in several.items()
    }
