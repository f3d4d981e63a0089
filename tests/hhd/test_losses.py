"""Losses of the training step against HRNet's, mmpose's and dsntnn's numbers, and by hand."""

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from golden_codecs import cases, maps_pair, rules

import hhd_kernels as hk
from hhd.data.targets import gaussian_maps, integral_targets
from hhd.train.losses import (
    CoordinateLoss,
    build_loss,
    joints_mse,
    js_divergence,
    keypoint_mse,
    spread,
    teacher_weights,
    weighted_mean,
)
from hhd.train.recipe import load_recipe


def integral_cases(golden, kind):
    found = json.loads((golden / "integral_cases.json").read_text())
    return [case for case in found if case["kind"] == kind]


def test_golden_joints_mse(golden):
    for case in cases(golden, "hrnet_joints_mse"):
        student, teacher = (torch.from_numpy(maps) for maps in maps_pair(golden, case["inputs"]))
        seed = 8450 if case["input_size_wh"][0] == 192 else 8451
        weight = torch.from_numpy(rules(golden).golden_input(seed, (2, case["K"], 1)) > -0.5)
        student.requires_grad_()
        loss = joints_mse(student, teacher, weight[..., 0].float())
        expected = case["result"]["mse_weighted"]
        assert float(loss.detach()) == pytest.approx(expected["value"], rel=1e-5)
        (gradient,) = torch.autograd.grad(loss, student)
        assert float(gradient.norm()) == pytest.approx(expected["grad_l2"], rel=1e-4)
        unweighted = joints_mse(student.detach(), teacher, torch.ones(2, case["K"]))
        assert float(unweighted) == pytest.approx(case["result"]["mse"]["value"], rel=1e-5)


def test_golden_keypoint_mse(golden):
    found = integral_cases(golden, "mmpose_keypoint_mse")
    assert found
    for case in found:
        student, teacher = (torch.from_numpy(maps) for maps in maps_pair(golden, case["inputs"]))
        draw = rules(golden).golden_input(case["inputs"]["seed"] + 200000, student.shape[:2])
        weight = torch.from_numpy(draw > 0).float()
        loss = keypoint_mse(student, teacher, weight)
        assert float(loss) == pytest.approx(case["result"]["weighted"]["value"], rel=1e-5)


def test_golden_smooth_l1(golden):
    """mmpose divides by all joints, we by those with a weight."""
    for case in integral_cases(golden, "mmpose_integral"):
        if case["debias"]:
            continue
        logits = torch.from_numpy(maps_pair(golden, case["inputs"])[0])
        joints, size = logits.shape[:2], (logits.shape[3], logits.shape[2])
        seed, draw = case["inputs"]["seed"], rules(golden).golden_input
        target = torch.from_numpy((0.5 + 0.2 * draw(seed + 100000, (*joints, 2))).astype("f4"))
        weight = torch.from_numpy(draw(seed + 200000, joints) > 0).float()
        recipe = load_recipe("lspet_integral", coordinate_loss="smooth_l1", beta=case["beta"])
        batch = {"coords": target * torch.tensor(size), "weight": weight}
        loss, _ = CoordinateLoss(recipe, size)(logits, batch, None)
        expected = case["losses"]["smooth_l1_weighted"] * weight.numel() / weight.sum()
        assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_golden_js_divergence(golden):
    arrays = np.load(golden / "integral.npz")
    found = integral_cases(golden, "dsntnn")
    assert len(found) == 4
    for case in found:
        logits = torch.from_numpy(maps_pair(golden, case["inputs"])[0])
        height, width = logits.shape[2:]
        draw = rules(golden).golden_input(case["inputs"]["seed"] + 100000, (*logits.shape[:2], 2))
        target = np.clip((0.4 * draw).astype("f4"), -1, 1)
        # dsntnn's coordinates are cell centres (2 i + 1) / W - 1, its Gaussian covers the map.
        center = torch.from_numpy(((target + 1) * [width, height] - 1) / 2).float()
        rows = (torch.arange(height) - center[..., 1:]).square()
        columns = (torch.arange(width) - center[..., :1]).square()
        q = torch.exp(-(rows[..., :, None] + columns[..., None, :]) / (2 * case["sigma_t"] ** 2))
        q = q / q.sum(dim=(2, 3), keepdim=True)
        found = js_divergence(spread(logits, 1.0), q)
        np.testing.assert_allclose(found, arrays[f"dsntnn_{case['id']}_js"], rtol=1e-5, atol=1e-6)


def batch_of(joints=3, size=(20, 24)):
    torch.manual_seed(0)
    coords = torch.rand(2, joints, 2) * torch.tensor(size) * 0.6 + 4
    ones = torch.ones(2, joints)
    return {"coords": coords, "weight": ones.clone(), "labelled": ones.clone()}, size


def step(recipe, size, logits, batch, teacher):
    criterion = build_loss(recipe, size)
    return criterion(logits, criterion.prepare(batch, teacher))


def test_js_is_finite_and_zero_at_its_target():
    batch, size = batch_of()
    criterion = build_loss(load_recipe("lspet_integral", loss="js", beta=1.0), size)
    _, wanted = integral_targets(batch["coords"], batch["weight"], size, 1.5)
    logits = wanted.clamp_min(1e-30).log().requires_grad_()
    _, terms = criterion(logits, criterion.prepare(batch, None))
    assert float(terms["js"]) == pytest.approx(0, abs=1e-6)
    loss, terms = criterion(
        torch.full_like(logits, -200).requires_grad_(), criterion.prepare(batch, None)
    )
    assert 0.1 < float(terms["js"]) < np.log(2)
    assert torch.isfinite(loss)


@pytest.mark.parametrize("loss", ["kd_mse", "kd_kl"])
def test_full_map_distillation(loss):
    batch, size = batch_of()
    recipe = load_recipe("lspet_integral", loss=loss, teacher="labels", hhd_weight=2.0, beta=3.0)
    teacher = torch.rand(2, 3, size[1], size[0])
    logits = torch.randn(2, 3, size[1], size[0], requires_grad=True)
    total, terms = step(recipe, size, logits, batch, teacher)
    if loss == "kd_mse":
        by_joint = F.mse_loss(logits, teacher, reduction="none").mean(dim=(2, 3))
    else:
        q = (teacher / teacher.sum((2, 3), keepdim=True)).flatten(2)
        log_p = F.log_softmax(3 * logits.flatten(2), dim=-1)
        by_joint = F.kl_div(log_p, q, reduction="none").sum(dim=-1)
    by_joint = by_joint.detach()
    assert float(terms[loss]) == pytest.approx(float(by_joint.mean()), rel=1e-5)
    expected = float(terms["coordinate"] + 2 * terms[loss])
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)
    (gradient,) = torch.autograd.grad(total, logits)
    assert gradient.isfinite().all()
    # A teacher that saw nothing teaches nothing.
    teacher[0, 0] = 0
    _, fewer = step(recipe, size, logits, batch, teacher)
    assert float(fewer[loss]) == pytest.approx(float(by_joint.flatten()[1:].mean()), rel=1e-5)


def test_joints_weigh_as_the_skeleton_says():
    batch, size = batch_of()
    logits = torch.randn(2, 3, size[1], size[0])
    criterion = build_loss(load_recipe("lspet_integral"), size)
    plain, _ = criterion(logits, criterion.prepare(batch, None))
    one, _ = criterion(
        logits, criterion.prepare({**batch, "weight": torch.tensor([[1.0, 0, 0]] * 2)}, None)
    )
    weighted, _ = criterion(
        logits, criterion.prepare({**batch, "joint_weight": torch.tensor([1.0, 0, 0])}, None)
    )
    assert float(weighted) == float(one) != float(plain)


def test_a_mean_is_one_whatever_the_weights_sum_to():
    values = torch.tensor([[2.0, 6.0, 9.0]])
    for scale in (100.0, 1.0, 0.01):
        weight = scale * torch.tensor([[3.0, 1.0, 0.0]])
        assert float(weighted_mean(values, weight)) == pytest.approx(3)
    nothing = torch.zeros(1, 3)
    values.requires_grad_()
    mean = weighted_mean(values, nothing)
    (gradient,) = torch.autograd.grad(mean, values)
    assert float(mean.detach()) == 0
    assert gradient.tolist() == [[0, 0, 0]]


def test_a_joint_outside_the_crop_is_still_drawn_if_its_gaussian_reaches_in():
    """HRNet and mmpose draw it for heatmap networks; integral networks cannot be right there."""
    size, recipe = (20, 24), load_recipe("lspet_teacher")
    batch = {
        "coords": torch.tensor([[[-2.0, 9.0]]]),
        "weight": torch.zeros(1, 1),
        "labelled": torch.ones(1, 1),
    }
    loss, _ = step(recipe, size, torch.zeros(1, 1, 24, 20), batch, None)
    assert float(loss) > 0


def gaussian_teacher(batch, size):
    return gaussian_maps(batch["coords"], batch["weight"], size, 1.5, "dark")[0]


def test_windows_lie_where_the_recipe_says():
    for name, loss in (("lspet_kl", "kl"), ("lspet_published", "published")):
        given = {"locate": "debiased", "sampling": "bilinear"}
        recipe = load_recipe(name, teacher="labels", **given)
        criterion = build_loss(recipe, (48, 48)).criterion
        assert {field: getattr(criterion, field) for field in given} == given
        usual = build_loss(load_recipe(name, teacher="labels"), (48, 48)).criterion
        same = hk.IntegralHHDLoss(coordinate_unit=1.5) if loss == "kl" else usual.published()
        assert (usual.locate, usual.sampling) == (same.locate, same.sampling)
        assert criterion.divergence == usual.divergence


def test_joints_are_taught_where_the_teacher_is_sure():
    batch, _ = batch_of()
    heights = torch.tensor([[0.5, 0.25, 1.5], [0.0, 0.75, 1.0]])
    gated = load_recipe("lspet_kl", teacher="labels", teacher_gate=0.6)
    found = teacher_weights(gated, {**batch, "importance": torch.tensor([2.0, 1.0])},
                            batch["coords"], heights)  # fmt: skip
    np.testing.assert_array_equal(found, [[0, 0, 2], [0, 1, 1]])
