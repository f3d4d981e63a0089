"""What every network here has in common."""

from __future__ import annotations

import torch
from torch import nn


class PoseModel(nn.Module):
    """Images [B, 3, H, W] -> maps [B, K, H / stride, W / stride]; ``multiple`` divides H and W."""

    stride: int
    multiple: int

    def last_convolution(self) -> nn.Conv2d:
        """The layer that gives the maps."""
        raise NotImplementedError

    def check_input_size(self, size: tuple[int, int]) -> None:
        """``ValueError`` unless the network takes images of ``size``, (width, height)."""
        if any(side <= 0 or side % self.multiple for side in size):
            raise ValueError(
                f"input_size is {list(size)}; the model takes positive multiples of {self.multiple}"
            )


def channels_last(model: PoseModel) -> PoseModel:
    """The same network with its weights in NHWC, the faster layout on CPUs and tensor cores."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.dim() == 4:
            tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
    return model
