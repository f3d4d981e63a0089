"""The loss of a step: (maps, batch, teacher's maps) -> (loss, the terms to log)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import hhd_kernels as hk
from hhd.data.targets import gaussian_maps
from hhd.teach.teachers import Batch
from hhd.train.recipe import Recipe

Terms = dict[str, Tensor]
StepLoss = Callable[[Tensor, Batch, Tensor | None], tuple[Tensor, Terms]]


def build_loss(recipe: Recipe, size: tuple[int, int]) -> StepLoss:
    """The loss that the recipe names; ``size`` = (width, height) of the maps."""
    if recipe.task == "heatmap":
        return HeatmapLoss(size, recipe.sigma)
    return CoordinateLoss(recipe) if recipe.loss == "none" else DistillationLoss(recipe)


class HeatmapLoss:
    """Mean of weight * (map - MSRA Gaussian)^2 over joints and pixels (mmpose KeypointMSELoss)."""

    def __init__(self, size: tuple[int, int], sigma: float) -> None:
        self.size, self.sigma = size, sigma

    def __call__(self, maps: Tensor, batch: Batch, _teacher: Tensor | None) -> tuple[Tensor, Terms]:
        wanted, weight = gaussian_maps(batch["coords"], batch["weight"], self.size, self.sigma)
        loss = (weight[..., None, None] * (maps.float() - wanted).square()).mean()
        return loss, {"heatmap": loss.detach()}


class CoordinateLoss:
    """|soft-argmax - label| in units of sigma, the mean over labelled joints and both axes."""

    def __init__(self, recipe: Recipe) -> None:
        self.beta, self.sigma = recipe.beta, recipe.sigma

    def __call__(
        self, logits: Tensor, batch: Batch, _teacher: Tensor | None
    ) -> tuple[Tensor, Terms]:
        coords, _ = hk.soft_argmax(logits, beta=self.beta)
        weight = batch["weight"]
        distance = (coords - batch["coords"]).abs().mean(dim=-1) / self.sigma
        loss = (weight * distance).sum() / weight.sum().clamp(min=1)
        return loss, {"coordinate": loss.detach()}


class DistillationLoss:
    """Coordinate loss plus HHD loss, one fused pass: the published form or the windowed KL."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.window, self.hhd_weight = recipe.distillation()
        self.criterion = self._criterion(1.0, self.hhd_weight)

    def _criterion(self, coordinate_weight: float, hhd_weight: float) -> hk.IntegralHHDLoss:
        recipe = self.recipe
        window = (self.window, self.window)
        if recipe.loss == "kl":
            return hk.IntegralHHDLoss(
                recipe.beta,
                "l1",
                coordinate_unit=recipe.sigma,
                window=window,
                coordinate_weight=coordinate_weight,
                hhd_weight=hhd_weight,
            )
        return hk.IntegralHHDLoss.published(
            recipe.beta, window, coordinate_weight=coordinate_weight, hhd_weight=hhd_weight
        )

    def __call__(
        self, logits: Tensor, batch: Batch, teacher: Tensor | None
    ) -> tuple[Tensor, Terms]:
        joint = self._joint(self.criterion, logits, batch, teacher)
        return joint.loss, {"coordinate": joint.coordinate_loss, "hhd": joint.hhd_loss}

    def _joint(
        self, criterion: hk.IntegralHHDLoss, logits: Tensor, batch: Batch, teacher: Tensor | None
    ) -> hk.JointLoss:
        if teacher is None:
            raise ValueError(f"loss {self.recipe.loss} needs the teacher's maps of the batch")
        if self.recipe.teacher_floor:
            peak = teacher.amax(dim=(2, 3), keepdim=True)
            teacher = teacher * (teacher >= self.recipe.teacher_floor * peak)
        targets = criterion.targets(teacher)
        # A map without a positive value is no answer, whatever the gate.
        taught = (targets.confidence > 0) & (targets.confidence >= self.recipe.teacher_gate)
        coords, weight = batch["coords"], batch["weight"]
        joint: hk.JointLoss = criterion(logits, targets, coords, weight, taught.to(weight))
        return joint

    def match_gradients(self, logits: Tensor, batch: Batch, teacher: Tensor | None) -> float:
        """Set the HHD term's weight by gradient norms, see the recipe's ``match_gradients``."""
        norms = []
        for weights in ((1.0, 0.0), (0.0, 1.0)):
            leaf = logits.detach().requires_grad_()
            loss = self._joint(self._criterion(*weights), leaf, batch, teacher).loss
            (gradient,) = torch.autograd.grad(loss, leaf)
            norms.append(float(gradient.float().norm()))
        if not norms[1] > 0:
            raise ValueError("match_gradients: the distillation has no gradient in the first batch")
        weight = self.hhd_weight * norms[0] / norms[1]
        self.set_weight(weight)
        return weight

    def set_weight(self, hhd_weight: float) -> None:
        """Replace the weight of the HHD term."""
        self.criterion = self._criterion(1.0, hhd_weight)
