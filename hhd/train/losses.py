"""The loss of a step: (maps, batch, teacher's maps) -> (loss, the terms to log)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

import hhd_kernels as hk
from hhd.data.targets import gaussian_maps, integral_targets
from hhd.teach.teachers import Batch
from hhd.train.recipe import Recipe

Terms = dict[str, Tensor]
StepLoss = Callable[[Tensor, Batch, Tensor | None], tuple[Tensor, Terms]]


def build_loss(recipe: Recipe, size: tuple[int, int]) -> StepLoss:
    """The loss that the recipe names; ``size`` = (width, height) of the maps."""
    if recipe.task == "heatmap":
        return HeatmapLoss(recipe, size)
    if recipe.loss in ("published", "kl"):
        return DistillationLoss(recipe)
    if recipe.loss in ("kd_mse", "kd_kl"):
        return FullMapDistillationLoss(recipe, size)
    return DsntLoss(recipe, size) if recipe.loss == "js" else CoordinateLoss(recipe, size)


def keypoint_mse(maps: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Mean over joints and pixels of weight * (map - target)^2 (mmpose 1.x KeypointMSELoss).

    mmpose 0.x squares the weight too: the same for weights of 0 and 1.
    """
    return (weight[..., None, None] * (maps.float() - wanted).square()).mean()


def joints_mse(maps: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Half the mean over joints and pixels of (weight * map - weight * target)^2 (HRNet
    JointsMSELoss)."""
    return 0.5 * (weight[..., None, None] * (maps.float() - wanted)).square().mean()


def js_divergence(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence of maps that sum to 1, [B, K, H, W] -> [B, K]; dsntnn's and
    mmpose's, in nats, with 0 log 0 = 0."""
    tiny = 1e-24
    log_middle = ((p + q) / 2).clamp_min(tiny).log()
    to_p = p * (p.clamp_min(tiny).log() - log_middle)
    to_q = q * (q.clamp_min(tiny).log() - log_middle)
    return 0.5 * (to_p + to_q).sum(dim=(2, 3))


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of ``values`` [B, K] under ``weight``, of which 0 selects: whatever value stands there
    counts for nothing; 0 if there is no weight."""
    total = weight.sum()
    nothing = total == 0
    summed = (weight * torch.where(weight > 0, values, 0)).sum()
    return torch.where(nothing, 0, summed / torch.where(nothing, 1, total))


class HeatmapLoss:
    """Squared error to Gaussians at the joints, of labelled joints near the map (HRNet, mmpose)."""

    def __init__(self, recipe: Recipe, size: tuple[int, int]) -> None:
        self.size, self.sigma, self.target = size, recipe.sigma, recipe.target
        self.error = joints_mse if recipe.heatmap_loss == "joints_mse" else keypoint_mse

    def __call__(self, maps: Tensor, batch: Batch, _teacher: Tensor | None) -> tuple[Tensor, Terms]:
        wanted, weight = gaussian_maps(
            batch["coords"], batch["labelled"], self.size, self.sigma, self.target
        )
        if "joint_weight" in batch:
            weight = weight * batch["joint_weight"]
        loss = self.error(maps, wanted, weight)
        return loss, {"heatmap": loss.detach()}


class CoordinateLoss:
    """Distance of soft-argmax and label, the mean over labelled joints and both axes.

    L1 in units of sigma; or SmoothL1 on x / W, y / H: half the square below 1, so always (mmpose
    divides by all joints, here by the labelled ones).
    """

    def __init__(self, recipe: Recipe, size: tuple[int, int]) -> None:
        self.beta, self.sigma, self.kind = recipe.beta, recipe.sigma, recipe.coordinate_loss
        self.size = size

    def __call__(
        self, logits: Tensor, batch: Batch, _teacher: Tensor | None
    ) -> tuple[Tensor, Terms]:
        coords, _ = hk.soft_argmax(logits, beta=self.beta)
        offset = coords - batch["coords"]
        if self.kind == "l1":
            distance = offset.abs() / self.sigma
        else:
            unit = offset / torch.tensor(self.size, device=offset.device)
            distance = F.smooth_l1_loss(unit, torch.zeros_like(unit), reduction="none")
        loss = weighted_mean(distance.mean(dim=-1), joint_weights(batch))
        return loss, {"coordinate": loss.detach()}


class DsntLoss:
    """Coordinate loss plus the divergence of the softmax from a Gaussian at the label (DSNT)."""

    def __init__(self, recipe: Recipe, size: tuple[int, int]) -> None:
        self.coordinate = CoordinateLoss(recipe, size)
        self.weight = recipe.distillation()[1]
        self.size, self.sigma, self.beta = size, recipe.sigma, recipe.beta
        self.target = recipe.target

    def __call__(
        self, logits: Tensor, batch: Batch, teacher: Tensor | None
    ) -> tuple[Tensor, Terms]:
        loss, terms = self.coordinate(logits, batch, teacher)
        weight = joint_weights(batch)
        _, wanted = integral_targets(
            batch["coords"], batch["weight"], self.size, self.sigma, self.target
        )
        divergence = weighted_mean(js_divergence(spread(logits, self.beta), wanted), weight)
        return loss + self.weight * divergence, {**terms, "js": divergence.detach()}


class FullMapDistillationLoss:
    """Coordinate loss plus distillation of the whole map, the baselines that HHD is measured by.

    kd_mse: mean over joints and pixels of (logits - teacher's map)^2. kd_kl: KL(teacher || student)
    of the teacher's positive part over its sum and the student's softmax, the mean over joints.
    """

    def __init__(self, recipe: Recipe, size: tuple[int, int]) -> None:
        self.coordinate = CoordinateLoss(recipe, size)
        self.recipe, self.weight = recipe, recipe.distillation()[1]

    def __call__(
        self, logits: Tensor, batch: Batch, teacher: Tensor | None
    ) -> tuple[Tensor, Terms]:
        loss, terms = self.coordinate(logits, batch, teacher)
        maps = usable_maps(teacher, self.recipe).float()
        height = maps.amax(dim=(2, 3))
        taught = ((height > 0) & (height >= self.recipe.teacher_gate)).to(maps)
        if self.recipe.loss == "kd_mse":
            distance = (logits.float() - maps).square().mean(dim=(2, 3))
        else:
            mass = maps.clamp_min(0)
            mass = mass / mass.sum(dim=(2, 3), keepdim=True).clamp_min(torch.finfo(mass.dtype).tiny)
            log_student = F.log_softmax(self.recipe.beta * logits.float().flatten(2), dim=-1)
            difference = mass.clamp_min(1e-24).log() - log_student.view_as(mass)
            distance = (mass * difference).sum(dim=(2, 3))
        term = weighted_mean(distance, taught)
        return loss + self.weight * term, {**terms, self.recipe.loss: term.detach()}


def joint_weights(batch: Batch) -> Tensor:
    """Weights [B, K] of labelled joints inside the crop, times the joints' own if asked for."""
    weight = batch["weight"]
    return weight * batch["joint_weight"] if "joint_weight" in batch else weight


def spread(logits: Tensor, beta: float) -> Tensor:
    """softmax(beta * logits) over each map, float32."""
    return F.softmax(beta * logits.float().flatten(2), dim=-1).view(logits.shape)


def usable_maps(teacher: Tensor | None, recipe: Recipe) -> Tensor:
    """The teacher's maps without what lies below ``teacher_floor`` of their peaks."""
    if teacher is None:
        raise ValueError(f"loss {recipe.loss} needs the teacher's maps of the batch")
    if not recipe.teacher_floor:
        return teacher
    peak = teacher.amax(dim=(2, 3), keepdim=True)
    return teacher * (teacher >= recipe.teacher_floor * peak)


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
            unit = recipe.sigma if recipe.coordinate_loss == "l1" else "map"
            return hk.IntegralHHDLoss(
                recipe.beta,
                recipe.coordinate_loss,
                coordinate_unit=unit,
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
        targets = criterion.targets(usable_maps(teacher, self.recipe))
        # A map without a positive value is no answer, whatever the gate; the official code teaches
        # its argmax all the same, and is NaN where it is 0 throughout.
        taught = (targets.confidence > 0) & (targets.confidence >= self.recipe.teacher_gate)
        coords, weight = batch["coords"], joint_weights(batch)
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
