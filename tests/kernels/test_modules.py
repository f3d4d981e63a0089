"""HHDLoss and IntegralHHDLoss: presets, and that they are the functions with those options."""

import pytest
import torch

import hhd_kernels as hk
from kernels.calls import targets_of
from kernels.samples import as_array, loss_setup, tensor

SETUP = loss_setup(2)
TEACHER = tensor(abs(as_array(loss_setup(3).logits)))


def test_presets_are_named() -> None:
    assert hk.HHDLoss().preset == "kl-v1"
    assert hk.HHDLoss.published().preset == "published-v1"
    assert hk.HHDLoss(window=(9, 9)).preset == "custom"
    assert hk.IntegralHHDLoss().preset == "kl-v2"
    assert hk.IntegralHHDLoss.published().preset == "published-v1"
    assert hk.IntegralHHDLoss(beta=3.0).preset == "custom"


def test_published_is_the_function_with_its_options(backend: str) -> None:
    targets = hk.teacher_targets(TEACHER, (8, 8), normalize="l2", border="mirror_published")
    expected = 0.5 * hk.hhd_loss(
        SETUP.logits,
        targets,
        beta=1.0,
        normalize="l2",
        divergence="sse",
        locate="published",
        border="mirror_published",
        reduction="official",
    )
    torch.testing.assert_close(hk.HHDLoss.published()(SETUP.logits, TEACHER), expected)


def test_weight_scales_the_loss(backend: str) -> None:
    loss = hk.HHDLoss()(SETUP.logits, TEACHER)
    torch.testing.assert_close(hk.HHDLoss(weight=3.0)(SETUP.logits, TEACHER), 3.0 * loss)


def test_integral_is_the_joint_function(backend: str) -> None:
    targets = targets_of(SETUP)
    arguments = (SETUP.target_coords, SETUP.weight)
    got = hk.IntegralHHDLoss()(SETUP.logits, targets, *arguments)
    expected = hk.joint_loss(SETUP.logits, targets, *arguments, hhd_weight=10.0)
    assert all(torch.equal(one, two) for one, two in zip(got, expected, strict=True))


def test_integral_published(backend: str) -> None:
    got = hk.IntegralHHDLoss.published()(SETUP.logits, TEACHER, SETUP.target_coords)
    targets = hk.teacher_targets(TEACHER, (8, 8), normalize="l2", border="mirror_published")
    expected = hk.joint_loss(
        SETUP.logits,
        targets,
        SETUP.target_coords,
        beta=10.0,
        normalize="l2",
        divergence="sse",
        locate="published",
        border="mirror_published",
        reduction="official",
        coordinate_loss="smooth_l1",
        coordinate_unit="map",
        transition=1.0,
        hhd_weight=0.5,
    )
    assert all(torch.equal(one, two) for one, two in zip(got, expected, strict=True))


@pytest.mark.parametrize("module", [hk.HHDLoss, hk.IntegralHHDLoss])
def test_modules_are_plain_modules(backend: str, module: type[torch.nn.Module]) -> None:
    criterion = module()
    assert not list(criterion.parameters())
    assert not criterion.state_dict()
    targets = criterion.targets(TEACHER)
    for one, two in zip(targets, hk.teacher_targets(TEACHER), strict=True):
        assert torch.equal(one, two)


def test_an_option_may_be_set_anew(backend: str) -> None:
    """As a schedule does: the loss is that of a criterion made so."""
    setup = loss_setup(21)
    inputs = (setup.logits, targets_of(setup), setup.target_coords, setup.weight)
    criterion = hk.IntegralHHDLoss()
    criterion.train(False)
    criterion.hhd_weight, criterion.beta = 2.0, 4.0
    made = hk.IntegralHHDLoss(4.0, hhd_weight=2.0)
    assert torch.equal(criterion(*inputs).loss, made(*inputs).loss)
    assert repr(criterion) == repr(made)
    assert (criterion.preset, criterion.training) == ("custom", False)
    criterion.hhd_weight, criterion.beta = 10.0, 10.0
    assert criterion.preset == "kl-v2"
    distillation = hk.HHDLoss()
    distillation.window = 9
    teacher = setup.logits.detach().abs()
    assert torch.equal(
        distillation(setup.logits, teacher), hk.HHDLoss(window=9)(setup.logits, teacher)
    )


def test_a_wrong_option_leaves_the_loss_as_it_was() -> None:
    criterion = hk.IntegralHHDLoss()
    before = repr(criterion)
    with pytest.raises(ValueError, match="beta is -1"):
        criterion.beta = -1.0
    with pytest.raises(ValueError, match="divergence='kl' takes a teacher"):
        criterion.normalize = ("softmax", "l2")
    assert repr(criterion) == before


class Counting(hk.IntegralHHDLoss):
    """A subclass with a signature and a state of its own."""

    def __init__(self, first: float) -> None:
        super().__init__(first)
        self.steps = 0
        self.hhd_weight = 3.0


def test_a_subclass_keeps_its_own() -> None:
    criterion = Counting(4.0)
    criterion.steps += 2
    criterion.beta = 5.0
    assert (criterion.steps, criterion.beta, criterion.hhd_weight) == (2, 5.0, 3.0)


def test_options_that_need_each_other_are_set_together() -> None:
    published, criterion = hk.HHDLoss.published(), hk.HHDLoss()
    criterion.set_options(**published._options())
    assert repr(criterion) == repr(published)
    assert criterion.preset == "published-v1"
    with pytest.raises(TypeError, match="HHDLoss has no option 'betta'; its options are beta, win"):
        criterion.set_options(betta=1.0)
    with pytest.raises(AttributeError, match="beta is an option of the loss"):
        del criterion.beta
