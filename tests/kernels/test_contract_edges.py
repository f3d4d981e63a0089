"""What has no ordinary answer: empty batches, single pixels, zeros, infinities, NaN, weights."""

import numpy as np
import pytest
import torch

import hhd_kernels as hk
import oracle
from kernels.calls import differentiable, every, targets_of, value_and_gradient
from kernels.samples import (
    BORDERS,
    COORDINATE_LOSSES,
    HHD_FORMS,
    SAMPLINGS,
    as_array,
    loss_setup,
)

NAMES = sorted(every(loss_setup(0)))


@pytest.mark.parametrize("shape", [(0, 3, 8, 6), (2, 0, 8, 6), (0, 0, 1, 1)])
@pytest.mark.parametrize("name", NAMES)
def test_empty_batch(backend: str, name: str, shape: tuple[int, int, int, int]) -> None:
    b, k = shape[:2]
    setup = loss_setup(0)._replace(
        centers=torch.zeros(b, k, 2),
        windows=torch.zeros(b, k, 7, 7),
        confidence=torch.zeros(b, k),
        weight=torch.zeros(b, k),
        target_coords=torch.zeros(b, k, 2),
    )
    value, grad = value_and_gradient(every(setup)[name], torch.zeros(shape))
    assert grad.shape in (shape, (0,))
    if "loss" in name:
        assert value == 0.0
    else:
        assert value.numel() == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_smallest_maps(backend: str, name: str, size: tuple[int, int]) -> None:
    """The windows of 7x7 are larger than all of these maps."""
    setup = loss_setup(1, (2, 3, *size))
    value, grad = value_and_gradient(every(setup)[name], setup.logits)
    assert torch.isfinite(value).all()
    assert torch.isfinite(grad).all()


@pytest.mark.parametrize("value", [0.0, 3.0, -100.0])
@pytest.mark.parametrize("name", NAMES)
def test_constant_maps(backend: str, name: str, value: float) -> None:
    setup = loss_setup(1)
    got, grad = value_and_gradient(every(setup)[name], torch.full_like(setup.logits, value))
    assert torch.isfinite(got).all()
    assert torch.isfinite(grad).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("form", HHD_FORMS, ids="-".join)
def test_weights_select(backend: str, form: tuple[str, str, str], bad: float) -> None:
    """A joint of weight 0 contributes exactly 0, whatever its student's and teacher's maps hold."""
    divergence, normalize, locate = form
    setup = loss_setup(2, (2, 2, 9, 8), weighted=False)
    weight = torch.tensor([[1.0, 0.0], [0.5, 2.0]])
    options = {"divergence": divergence, "normalize": normalize, "locate": locate}

    def run(logits: torch.Tensor, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        targets = targets_of(setup._replace(windows=windows))
        return value_and_gradient(lambda x: hk.hhd_loss(x, targets, weight, **options), logits)

    loss, grad = run(setup.logits, setup.windows)
    spoilt, windows = setup.logits.clone(), setup.windows.clone()
    spoilt[0, 1] = windows[0, 1] = bad
    spoilt_loss, spoilt_grad = run(spoilt, windows)
    assert torch.equal(spoilt_loss, loss)
    assert torch.equal(spoilt_grad, grad)
    assert not spoilt_grad[0, 1].any()


@pytest.mark.parametrize("kind", COORDINATE_LOSSES)
def test_weights_select_coordinates(backend: str, kind: str) -> None:
    setup = loss_setup(3, (2, 2, 9, 8), weighted=False)
    weight = torch.tensor([[1.0, 0.0], [0.5, 2.0]])
    logits, target = setup.logits.clone(), setup.target_coords.clone()

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        return value_and_gradient(
            lambda x: (
                hk.joint_loss(x, targets_of(setup), target, weight, coordinate_loss=kind).loss
            ),
            logits,
        )

    expected = run()
    logits[0, 1], target[0, 1] = torch.nan, torch.nan
    got = run()
    for one, two in zip(got, expected, strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("reduction", ["mean", "official"])
def test_all_weights_zero(backend: str, reduction: str) -> None:
    setup = loss_setup(4)
    weight = torch.zeros(setup.logits.shape[:2])
    logits = torch.full_like(setup.logits, torch.nan)
    value, grad = value_and_gradient(
        lambda x: (
            hk.joint_loss(
                x, targets_of(setup), setup.target_coords, weight, reduction=reduction
            ).loss
        ),
        logits,
    )
    assert value == 0.0
    assert not grad.any()


OTHERS = torch.tensor([[True, False], [True, True]])


@pytest.mark.parametrize("form", HHD_FORMS, ids="-".join)
def test_nan_stays_in_its_own_map(backend: str, form: tuple[str, str, str]) -> None:
    divergence, normalize, locate = form
    setup = loss_setup(5, (2, 2, 9, 8), weighted=False)
    setup.logits[0, 1] = torch.nan
    options = {"divergence": divergence, "normalize": normalize, "locate": locate}
    value, grad = value_and_gradient(
        lambda x: hk.hhd_loss(x, targets_of(setup), **options), setup.logits
    )
    assert value.isnan()
    assert grad[0, 1].isnan().all()
    assert torch.isfinite(grad[OTHERS]).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("what", ["centers", "windows", "confidence"])
@pytest.mark.parametrize("form", HHD_FORMS, ids="-".join)
def test_a_target_that_is_not_finite_is_nan(
    backend: str, form: tuple[str, str, str], what: str, bad: float
) -> None:
    """In its own joint, throughout its map, unless its weight is 0."""
    divergence, normalize, locate = form
    setup = loss_setup(5, (2, 2, 9, 8), (3, 3), weighted=False)
    setup.centers.fill_(4.0)
    getattr(setup, what)[0, 1].view(-1)[0] = bad
    options = {"divergence": divergence, "normalize": normalize, "locate": locate}
    arrays = [as_array(tensor) for tensor in (setup.logits, setup.centers, setup.windows)]
    for border in BORDERS:
        for weight in (None, OTHERS.float()):
            exact, exact_grad = oracle.hhd_loss(
                *arrays,
                None if weight is None else as_array(weight),
                border=border,
                **options,
            )
            value, grad = value_and_gradient(
                lambda x, w=weight, at=border: hk.hhd_loss(
                    x, targets_of(setup), w, border=at, **options
                ),
                setup.logits,
            )
            assert bool(value.isnan()) == (weight is None and what != "confidence")
            np.testing.assert_array_equal(as_array(value.isnan()), np.isnan(exact))
            np.testing.assert_array_equal(as_array(grad.isnan()), np.isnan(exact_grad))
            assert grad[OTHERS].any()
            if weight is not None:
                assert not grad[0, 1].any()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("kind", COORDINATE_LOSSES)
def test_target_coords_that_are_not_finite_are_nan(backend: str, kind: str, bad: float) -> None:
    setup = loss_setup(3, (2, 2, 9, 8), weighted=False)
    setup.target_coords[0, 1, 1] = bad
    arguments = (targets_of(setup), setup.target_coords)
    value, grad = value_and_gradient(
        lambda x: hk.joint_loss(x, *arguments, coordinate_loss=kind).loss, setup.logits
    )
    exact = oracle.joint_loss(
        *(as_array(tensor) for tensor in (setup.logits, setup.centers, setup.windows)),
        as_array(setup.target_coords),
        coordinate_loss=kind,
    )
    assert value.isnan()
    assert np.isnan(exact.loss)
    assert grad[0, 1].isnan().all()
    assert np.isnan(exact.grad[0, 1]).all()
    assert torch.isfinite(grad[OTHERS]).all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_crop_around_a_centre_that_is_not_finite_is_off_the_map(
    backend: str, sampling: str, border: str, bad: float
) -> None:
    setup = loss_setup(3, (2, 2, 9, 8))
    centers = torch.full((2, 2, 2), 4.0)
    centers[0, 1, 0] = bad
    value, grad = value_and_gradient(
        lambda x: hk.crop(x, centers, (3, 4), sampling=sampling, border=border), setup.logits
    )
    exact = oracle.crop(
        as_array(setup.logits), as_array(centers), (3, 4), sampling=sampling, border=border
    )
    np.testing.assert_allclose(as_array(value), exact, rtol=1e-5, atol=1e-7)
    assert not value[0, 1].any()
    assert not grad[0, 1].any()
    assert grad[OTHERS].any()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_bad_maps_never_crash_and_leave_the_others_alone(
    backend: str, bad: float, name: str
) -> None:
    setup = loss_setup(6, weighted=False)
    logits = setup.logits.clone()
    logits[1, 1] = bad
    expected, expected_grad = value_and_gradient(every(setup)[name], setup.logits)
    value, grad = value_and_gradient(every(setup)[name], logits)
    if "loss" not in name:
        torch.testing.assert_close(value[0], expected[0])
    if grad.numel():
        torch.testing.assert_close(grad[0], expected_grad[0])


@pytest.mark.parametrize("name", sorted(differentiable(loss_setup(0))))
def test_a_pixel_of_minus_infinity_is_legal(backend: str, name: str) -> None:
    """Masked logits: finite answers from everything that goes through a softmax."""
    if name.startswith(("normalize l", "normalize n", "crop", "hhd_loss published")):
        pytest.skip("a norm of an infinity has no finite answer")
    setup = loss_setup(7)
    logits = setup.logits.clone()
    logits[:, :, :2] = -torch.inf
    value, grad = value_and_gradient(differentiable(setup)[name], logits)
    assert torch.isfinite(value).all()
    assert torch.isfinite(grad).all()
