"""The moving average of a network's weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class MovingAverage(AveragedModel):
    """torch's exponential moving average of weights and batch norms' statistics, in a few kernels.

    Theirs averages the norms' counters one by one, in a third of a small network's step on a GPU;
    here they are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        self.decay = decay

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Take in the weights of a step; the first are copied."""
        mine = [*self.module.parameters(), *self.module.buffers()]
        theirs = [*model.parameters(), *model.buffers()]
        if int(self.n_averaged) == 0:
            torch._foreach_copy_(mine, theirs)
        else:
            floats = [tensor.is_floating_point() for tensor in mine]
            counters = [not known for known in floats]
            torch._foreach_lerp_(_where(floats, mine), _where(floats, theirs), 1 - self.decay)
            if any(counters):
                torch._foreach_copy_(_where(counters, mine), _where(counters, theirs))
        self.n_averaged += 1


def _where(chosen: list[bool], tensors: list[Tensor]) -> list[Tensor]:
    return [tensor for tensor, known in zip(tensors, chosen, strict=True) if known]
