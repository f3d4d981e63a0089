"""No op makes a tensor from the host's numbers or waits for the device: a CUDA graph holds each."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

import hhd_kernels as hk
from kernels.calls import every, value_and_gradient
from kernels.samples import loss_setup

SETUP = loss_setup(3, (2, 3, 16, 12))
FROM_THE_HOST = {torch.tensor, torch.as_tensor, torch.from_numpy, Tensor.new_tensor}
TO_THE_HOST = {
    *(Tensor.item, Tensor.tolist, Tensor.cpu, Tensor.numpy, Tensor.nonzero, torch.nonzero),
    *(Tensor.__bool__, Tensor.__int__, Tensor.__float__, Tensor.__index__),
}


class OnTheDevice(TorchFunctionMode):
    """Refuses what a capture would, on any device."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        assert func not in FROM_THE_HOST, f"{func.__name__} copies from the host"
        assert func not in TO_THE_HOST, f"{func.__name__} waits for the device"
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("name", sorted(every(SETUP)))
def test_every_op(backend: str, name: str) -> None:
    with OnTheDevice():
        value_and_gradient(every(SETUP)[name], SETUP.logits)


@pytest.mark.parametrize("published", [False, True])
def test_the_joint_loss_of_live_maps(backend: str, published: bool) -> None:
    joint = hk.IntegralHHDLoss.published() if published else hk.IntegralHHDLoss()
    logits = SETUP.logits.detach().requires_grad_()
    with OnTheDevice():
        joint(logits, SETUP.logits.flip(0), SETUP.target_coords, SETUP.weight).loss.backward()
    assert logits.grad is not None
