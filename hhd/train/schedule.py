"""The optimiser and the learning rate over a run's steps."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from hhd.train.recipe import Recipe


def build_optimiser(
    parameters: Iterable[torch.nn.Parameter], recipe: Recipe
) -> torch.optim.Optimizer:
    """The recipe's optimiser at its peak learning rate."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimiser]
    # One kernel for all weights instead of several for each.
    return kind(parameters, lr=step_rate(recipe), weight_decay=recipe.weight_decay, fused=True)


def step_rate(recipe: Recipe) -> float:
    """The peak learning rate for the recipe's batch size (Goyal et al., 2017: in proportion)."""
    return recipe.lr * (1 if recipe.lr_batch is None else recipe.batch_size / recipe.lr_batch)


def build_schedule(
    optimiser: torch.optim.Optimizer, recipe: Recipe, steps_per_epoch: int
) -> LRScheduler:
    """To be stepped after every training step."""
    if recipe.schedule == "one_cycle":
        return OneCycleLR(
            optimiser,
            max_lr=step_rate(recipe),
            total_steps=steps_per_epoch * recipe.epochs,
            pct_start=recipe.warmup,
        )
    return LambdaLR(optimiser, lambda step: lr_factor(step, recipe, steps_per_epoch))


def lr_factor(step: int, recipe: Recipe, steps_per_epoch: int) -> float:
    """Share of the peak learning rate that ``step``, from 0, is made with.

    mmengine's LinearLR by iteration times MultiStepLR by epoch: the warm-up's first step has
    ``warmup_factor``, its last 1; the first step after a milestone's epoch has the lower rate.
    """
    factor = recipe.lr_gamma ** sum(step >= m * steps_per_epoch for m in recipe.milestones)
    if step < recipe.warmup_steps - 1:
        share = step / (recipe.warmup_steps - 1)
        factor *= recipe.warmup_factor + (1 - recipe.warmup_factor) * share
    return factor


def catch_up(
    schedule: LRScheduler, optimiser: torch.optim.Optimizer, recipe: Recipe, step: int
) -> float:
    """Take a fresh schedule to where it is after ``step`` steps; the next learning rate.

    For a run that is extended, whose optimiser still has the rates of the shorter schedule.
    """
    with warnings.catch_warnings():
        # torch expects an optimiser's step before each.
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(step):
            schedule.step()
    return float(optimiser.param_groups[0]["lr"])
