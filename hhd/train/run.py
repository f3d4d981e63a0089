"""A run: its parts, and how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from hhd.data.loading import MixedData, StepBatches
from hhd.data.skeleton import Skeleton
from hhd.models.base import PoseModel
from hhd.train.assess import Assessment
from hhd.train.average import MovingAverage
from hhd.train.losses import StepLoss
from hhd.train.processes import Processes
from hhd.train.recipe import Recipe
from hhd.train.teacher import StepTeacher


@dataclass
class Run:
    """The parts of a run, and how far it is."""

    recipe: Recipe
    console: Console
    processes: Processes
    skeleton: Skeleton
    model: PoseModel
    """The network itself, whose weights are trained."""
    network: Callable[[Tensor], Tensor]
    """What is called in a step: the network, maybe compiled, maybe one of several processes'."""
    average: MovingAverage | None
    """The moving average of the weights."""
    teacher: StepTeacher | None
    criterion: StepLoss
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    """Scales the loss where gradients are float16, and does nothing elsewhere."""
    schedule: LRScheduler
    data: MixedData
    sizes: list[int]
    """Crops a step from each part of the data, of all processes together."""
    steps_per_epoch: int
    assessment: Assessment
    joint_weights: Tensor | None = None
    """By the skeleton's joints [K], also in mirrored crops, where left and right are exchanged
    (HRNet); the two need not weigh the same, and in crowdpose14 they do not."""
    precision: str = ""
    """Of the forward pass; empty until it is chosen."""
    step: int = 0
    """Steps done."""
    seconds: float = 0.0
    """Time that they took."""

    @property
    def out(self) -> Path:
        """The run's folder."""
        return Path(self.recipe.output)

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.steps_per_epoch * self.recipe.epochs

    @property
    def result(self) -> PoseModel:
        """The network to evaluate and keep."""
        if self.average is None:
            return self.model
        averaged = self.average.module
        assert isinstance(averaged, PoseModel)
        return averaged

    def batches(self) -> StepBatches:
        """This process's share of the steps that are left."""
        return StepBatches(
            [len(part) for part in self.data.parts],
            self.sizes,
            self.recipe.epochs,
            self.recipe.seed,
            start=self.step,
            rank=self.processes.rank,
            world=self.processes.world,
        )

    def to_evaluate(self, step: int) -> bool:
        """Whether the run is evaluated after ``step``."""
        epoch, within = divmod(step, self.steps_per_epoch)
        return within == 0 and (epoch % self.recipe.evaluate_every == 0 or step == self.steps)

    def to_save(self, step: int) -> bool:
        """Whether ``step`` is followed by a checkpoint."""
        return step % self.steps_per_epoch == 0 or step % self.recipe.checkpoint_every == 0
