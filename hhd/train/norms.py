"""Batch norm over the crops of all processes, also on CPUs, which torch's SyncBatchNorm refuses."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _Sum(torch.autograd.Function):
    """The sum over the processes, whose losses are added up too."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        values = values.clone()
        dist.all_reduce(values)
        return values

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.clone()
        dist.all_reduce(grad)
        return grad


class GlooBatchNorm2d(nn.BatchNorm2d):
    """:class:`torch.nn.BatchNorm2d` whose mean and variance in training are those of all processes.

    The processes have equally many crops.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        world = dist.get_world_size()
        values = input.to(torch.promote_types(input.dtype, torch.float32))
        mean = _Sum.apply(values.mean(dim=(0, 2, 3))) / world
        centred = values - mean[:, None, None]
        variance = _Sum.apply(centred.square().mean(dim=(0, 2, 3))) / world
        number = world * input.numel() / input.shape[1]
        self._remember(mean.detach(), variance.detach() * (number / max(number - 1, 1)))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normed = centred * scale[:, None, None] + self.bias[:, None, None]
        return normed.to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        pairs = (self.running_mean, mean), (self.running_var, variance)
        for running, new in pairs:
            if running is not None and self.momentum is not None:
                running.lerp_(new, self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def synchronised(model: nn.Module, device: torch.device) -> None:
    """Give every batch norm of a network the crops of all processes; its state stays as it is."""
    if device.type == "cuda":
        _replace(model, nn.SyncBatchNorm.convert_sync_batchnorm)
    else:
        _replace(model, _gloo)


def _replace(module: nn.Module, convert: object) -> None:
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(module, name, convert(child))  # type: ignore[operator]
        else:
            _replace(child, convert)


def _gloo(norm: nn.BatchNorm2d) -> GlooBatchNorm2d:
    new = GlooBatchNorm2d(norm.num_features, norm.eps, norm.momentum)
    # The very tensors, so that an optimiser or an average of them goes on.
    new._parameters, new._buffers = norm._parameters, norm._buffers
    return new
