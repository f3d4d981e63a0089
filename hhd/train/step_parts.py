"""What a step does beside forward, loss, backward: sums over its parts, checks."""

from __future__ import annotations

import gc
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from hhd.train.losses import Terms, Totals
from hhd.train.run import Run


def step_totals(run: Run, prepared: dict[str, Tensor]) -> Totals | None:
    """The weights' sums over all parts of a step, by the number of parts; None of a single one."""
    parts = run.processes.world * run.recipe.accumulate
    if parts == 1 or not run.criterion.weighted:
        return None
    sums = torch.stack([prepared[name].sum() for name in run.criterion.weighted])
    return dict(zip(run.criterion.weighted, run.processes.sum(sums) / parts, strict=True))


def exchange_later(run: Run) -> AbstractContextManager[None]:
    """The context of a part that is not the last: its gradients stay with the process."""
    if not isinstance(run.network, DistributedDataParallel):
        return nullcontext()
    context: AbstractContextManager[None] = run.network.no_sync()
    return context


def leave_processes(run: Run) -> None:
    """Let go of what exchanges gradients before the group of processes ends: as the last to hold
    the group it would wait for gloo's threads, which may wait for Python."""
    run.network = run.model
    gc.collect()


def maps_of(run: Run, images: Tensor) -> Tensor:
    """The network's maps; ``ValueError`` names the options of a batch that no norm can take."""
    try:
        return run.network(images)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"batch_size is {len(images)} and input_size is {[*images.shape[:1:-1]]}: features of "
            "one pixel, which batch norm cannot take alone; enlarge one of the two"
        ) from error


def check_loss(run: Run, loss: Tensor, terms: Terms) -> None:
    """``FloatingPointError`` where the loss is no number."""
    if not torch.isfinite(loss):
        values = {name: float(term) for name, term in terms.items()}
        raise FloatingPointError(
            f"step {run.step + 1}: the loss is {loss.item()}; its terms are {values}"
        )
