"""Every op inside a CUDA graph, captured by hand and by torch.compile."""

import pytest
import torch

import hhd_kernels as hk
from gpu.machine import MACHINE
from kernels.calls import every, value_and_gradient
from kernels.samples import loss_setup

SETUP = loss_setup(2, (3, 5, 33, 27))
OTHERS = [loss_setup(seed, (3, 5, 33, 27)).logits for seed in (5, 6)]


@pytest.mark.parametrize("name", sorted(every(SETUP)))
def test_capture_and_replay(backend: str, name: str) -> None:
    call, maps = every(SETUP)[name], SETUP.logits.clone()
    results, replay = MACHINE.capture(lambda: value_and_gradient(call, maps))
    for other in OTHERS:
        maps.copy_(other)
        replay()
        expected = value_and_gradient(call, other)
        assert all(torch.equal(one, two) for one, two in zip(results, expected, strict=True))


@pytest.mark.parametrize("published", [False, True])
def test_compiled_training_step(backend: str, published: bool) -> None:
    """Parameters after three steps, on a stream of its own, are what eager steps make of them."""
    joint = hk.IntegralHHDLoss.published() if published else hk.IntegralHHDLoss()
    targets = joint.targets(SETUP.logits)

    def forward(maps: torch.Tensor) -> torch.Tensor:
        return joint(maps, targets, SETUP.target_coords, SETUP.weight).loss

    def descend(loss: object) -> torch.Tensor:
        maps = OTHERS[0].clone().requires_grad_()
        for _ in range(3):
            (grad,) = torch.autograd.grad(loss(maps), maps)  # type: ignore[operator]
            maps = (maps.detach() - 0.1 * grad).requires_grad_()
        return maps.detach()

    expected = descend(forward)
    with MACHINE.side_stream():
        got = descend(MACHINE.compile(forward))
    MACHINE.synchronize()
    torch.testing.assert_close(got, expected)


def test_targets_in_a_graph_feed_the_loss(backend: str) -> None:
    """Two ops in one graph: the second reads what the first writes."""
    maps, teacher = SETUP.logits.clone(), SETUP.logits.flip(0).clone()
    joint = hk.IntegralHHDLoss()

    def run() -> tuple[torch.Tensor, ...]:
        terms, grad = joint.loss_and_grad(maps, teacher, SETUP.target_coords)
        return *terms, grad

    results, replay = MACHINE.capture(run)
    teacher.copy_(OTHERS[1])
    replay()
    expected, grad = hk.joint_loss_and_grad(
        maps, hk.teacher_targets(OTHERS[1]), SETUP.target_coords, hhd_weight=10.0
    )
    assert all(torch.equal(one, two) for one, two in zip(results, (*expected, grad), strict=True))
