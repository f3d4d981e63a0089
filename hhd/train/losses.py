"""The loss of a step: (maps, prepared batch) -> (loss, the terms to log).

A step's crops may come in parts, to several processes or one after the other. ``totals`` then has,
for each weighted mean, the weights' sum over all of them divided by the number of parts, and the
mean of the parts' losses is the loss of the whole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

import hhd_kernels as hk
from hhd.data.targets import gaussian_maps, integral_targets
from hhd.teach.teachers import Batch
from hhd.train.recipe import Recipe

Terms = dict[str, Tensor]
Totals = dict[str, Tensor]
# What a teacher gives: maps [B, K, H, W], or what distillation needs of them.
Taught = Tensor | hk.TeacherTargets


class StepLoss(Protocol):
    """What :func:`build_loss` gives; ``weighted`` are the fields that its means are weighted by."""

    weighted: tuple[str, ...]

    def prepare(self, batch: Batch, taught: Taught | None) -> Batch:
        """The fields [B, ...] that the loss takes, made of the batch and the teacher's answer."""

    def __call__(
        self, logits: Tensor, batch: Batch, totals: Totals | None = None
    ) -> tuple[Tensor, Terms]:
        """Loss and terms of maps and the prepared batch that belongs to them."""


def build_loss(recipe: Recipe, size: tuple[int, int]) -> StepLoss:
    """The loss that the recipe names; ``size`` = (width, height) of the maps."""
    if recipe.task == "heatmap":
        return HeatmapLoss(recipe, size)
    if recipe.loss in ("published", "kl"):
        return DistillationLoss(recipe, size)
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


def weighted_mean(values: Tensor, weight: Tensor, total: Tensor | None = None) -> Tensor:
    """Mean of ``values`` [B, K] under ``weight``, of which 0 selects: whatever value stands there
    counts for nothing; 0 if there is no weight. ``total`` takes the place of the weights' sum."""
    total = weight.sum() if total is None else total
    nothing = total == 0
    summed = (weight * torch.where(weight > 0, values, 0)).sum()
    return torch.where(nothing, 0, summed / torch.where(nothing, 1, total))


def joint_weights(batch: Batch) -> Tensor:
    """Weights [B, K] of labelled joints inside the crop, times the person's and the joints' own."""
    weight = batch["weight"]
    if "importance" in batch:
        weight = weight * batch["importance"][:, None]
    return weight * batch["joint_weight"] if "joint_weight" in batch else weight


class HeatmapLoss:
    """Squared error to Gaussians at the joints, of labelled joints near the map (HRNet, mmpose)."""

    weighted: tuple[str, ...] = ()

    def __init__(self, recipe: Recipe, size: tuple[int, int]) -> None:
        self.size, self.sigma, self.target = size, recipe.sigma, recipe.target
        self.error = joints_mse if recipe.heatmap_loss == "joints_mse" else keypoint_mse

    def prepare(self, batch: Batch, taught: Taught | None) -> Batch:
        wanted, weight = gaussian_maps(
            batch["coords"], batch["labelled"], self.size, self.sigma, self.target
        )
        return {"wanted": wanted, "weight": joint_weights({**batch, "weight": weight})}

    def __call__(
        self, logits: Tensor, batch: Batch, totals: Totals | None = None
    ) -> tuple[Tensor, Terms]:
        loss = self.error(logits, batch["wanted"], batch["weight"])
        return loss, {"heatmap": loss.detach()}


class CoordinateLoss:
    """Distance of soft-argmax and label, the mean over labelled joints and both axes.

    L1 in units of sigma; or SmoothL1 on x / W, y / H: half the square below 1, so always (mmpose
    divides by all joints, here by the labelled ones).
    """

    weighted: tuple[str, ...] = ("weight",)

    def __init__(self, recipe: Recipe, size: tuple[int, int]) -> None:
        self.recipe, self.size = recipe, size

    def prepare(self, batch: Batch, taught: Taught | None) -> Batch:
        return {"coords": batch["coords"], "weight": joint_weights(batch)}

    def __call__(
        self, logits: Tensor, batch: Batch, totals: Totals | None = None
    ) -> tuple[Tensor, Terms]:
        recipe = self.recipe
        coords, _ = hk.soft_argmax(logits, beta=recipe.beta)
        offset = coords - batch["coords"]
        if recipe.coordinate_loss == "l1":
            distance = offset.abs() / recipe.sigma
        else:
            # By numbers: a tensor of them would be copied to the device at each step.
            unit = torch.stack([offset[..., axis] / self.size[axis] for axis in (0, 1)], dim=-1)
            distance = F.smooth_l1_loss(unit, torch.zeros_like(unit), reduction="none")
        term = weighted_mean(distance.mean(dim=-1), batch["weight"], _total(totals, "weight"))
        return recipe.coordinate_weight * term, {"coordinate": term.detach()}


class DsntLoss(CoordinateLoss):
    """Coordinate loss plus the divergence of the softmax from a Gaussian at the label (DSNT)."""

    def prepare(self, batch: Batch, taught: Taught | None) -> Batch:
        recipe = self.recipe
        _, wanted = integral_targets(
            batch["coords"], batch["weight"], self.size, recipe.sigma, recipe.target
        )
        return {**super().prepare(batch, taught), "wanted": wanted}

    def __call__(
        self, logits: Tensor, batch: Batch, totals: Totals | None = None
    ) -> tuple[Tensor, Terms]:
        loss, terms = super().__call__(logits, batch, totals)
        divergence = js_divergence(spread(logits, self.recipe.beta), batch["wanted"])
        term = weighted_mean(divergence, batch["weight"], _total(totals, "weight"))
        return loss + self.recipe.distillation()[1] * term, {**terms, "js": term.detach()}


class FullMapDistillationLoss(CoordinateLoss):
    """Coordinate loss plus distillation of the whole map, the baselines that HHD is measured by.

    kd_mse: mean over joints and pixels of (logits - teacher's map)^2. kd_kl: KL(teacher || student)
    of the teacher's positive part over its sum and the student's softmax, the mean over joints.
    """

    weighted: tuple[str, ...] = ("weight", "teacher_weight")

    def prepare(self, batch: Batch, taught: Taught | None) -> Batch:
        if not isinstance(taught, Tensor):
            raise ValueError(f"loss {self.recipe.loss} needs the teacher's maps of the batch")
        maps = usable_maps(taught, self.recipe).float()
        places = hk.locate_teacher(maps) if self.recipe.teacher_reach else batch["coords"]
        weight = teacher_weights(self.recipe, batch, places, maps.amax(dim=(2, 3)))
        return {**super().prepare(batch, taught), "teacher_maps": maps, "teacher_weight": weight}

    def __call__(
        self, logits: Tensor, batch: Batch, totals: Totals | None = None
    ) -> tuple[Tensor, Terms]:
        loss, terms = super().__call__(logits, batch, totals)
        maps = batch["teacher_maps"]
        if self.recipe.loss == "kd_mse":
            distance = (logits.float() - maps).square().mean(dim=(2, 3))
        else:
            mass = maps.clamp_min(0)
            mass = mass / mass.sum(dim=(2, 3), keepdim=True).clamp_min(torch.finfo(mass.dtype).tiny)
            log_student = F.log_softmax(self.recipe.beta * logits.float().flatten(2), dim=-1)
            difference = mass.clamp_min(1e-24).log() - log_student.view_as(mass)
            distance = (mass * difference).sum(dim=(2, 3))
        total = _total(totals, "teacher_weight")
        term = weighted_mean(distance, batch["teacher_weight"], total)
        name = self.recipe.loss
        return loss + self.recipe.distillation()[1] * term, {**terms, name: term.detach()}


def spread(logits: Tensor, beta: float) -> Tensor:
    """softmax(beta * logits) over each map, float32."""
    return F.softmax(beta * logits.float().flatten(2), dim=-1).view(logits.shape)


def usable_maps(maps: Tensor, recipe: Recipe) -> Tensor:
    """The teacher's maps without what lies below ``teacher_floor`` of their peaks."""
    if not recipe.teacher_floor:
        return maps
    peak = maps.amax(dim=(2, 3), keepdim=True)
    return maps * (maps >= recipe.teacher_floor * peak)


def teacher_weights(recipe: Recipe, batch: Batch, places: Tensor, heights: Tensor) -> Tensor:
    """Weights [B, K] of the joints that are distilled: where the teacher's map at ``places``
    [B, K, 2] peaks at ``heights`` [B, K] above 0 and the recipe's gate and, where there is a label,
    lies near it.

    A map without a positive value is no answer, whatever the gate; the official code teaches its
    argmax all the same, and is NaN where it is 0 throughout.
    """
    taught = (heights > 0) & (heights >= recipe.teacher_gate)
    if recipe.teacher_reach:
        away = torch.linalg.vector_norm(places - batch["coords"], dim=-1)
        taught &= (away <= recipe.teacher_reach * recipe.sigma) | (batch["weight"] == 0)
    weight = taught.to(torch.float32)
    return weight * batch["importance"][:, None] if "importance" in batch else weight


def criterion_of(recipe: Recipe) -> hk.IntegralHHDLoss:
    """The fused loss of a recipe that distils by the published form or the windowed KL."""
    window, hhd_weight = recipe.distillation()
    if recipe.loss == "kl":
        return hk.IntegralHHDLoss(
            recipe.beta,
            recipe.coordinate_loss,
            coordinate_unit=recipe.sigma if recipe.coordinate_loss == "l1" else "map",
            window=window,
            coordinate_weight=recipe.coordinate_weight,
            hhd_weight=hhd_weight,
            floor=recipe.teacher_floor,
            **recipe.windows(),
        )
    published = hk.IntegralHHDLoss.published(
        recipe.beta, window, coordinate_weight=recipe.coordinate_weight, hhd_weight=hhd_weight
    )
    return replace(published, floor=recipe.teacher_floor, **recipe.windows())


class DistillationLoss:
    """Coordinate loss plus HHD loss, one fused pass: the published form or the windowed KL."""

    def __init__(self, recipe: Recipe, size: tuple[int, int]) -> None:
        self.recipe = recipe
        self.criterion = criterion_of(recipe)
        # The published loss is divided by numbers of joints, which all parts have alike.
        self.weighted: tuple[str, ...] = (
            () if recipe.loss == "published" else ("weight", "teacher_weight")
        )

    def targets(self, maps: Tensor) -> hk.TeacherTargets:
        """What the loss needs of a teacher's maps."""
        return self.criterion.targets(maps)

    def prepare(self, batch: Batch, taught: Taught | None) -> Batch:
        if taught is None:
            raise ValueError(f"loss {self.recipe.loss} needs the teacher's answer to the batch")
        targets = self.targets(taught) if isinstance(taught, Tensor) else taught
        return {
            "coords": batch["coords"],
            "weight": joint_weights(batch),
            **targets._asdict(),
            "teacher_weight": teacher_weights(
                self.recipe, batch, targets.centers, targets.confidence
            ),
        }

    def __call__(
        self, logits: Tensor, batch: Batch, totals: Totals | None = None
    ) -> tuple[Tensor, Terms]:
        criterion = self.criterion
        targets = hk.TeacherTargets(batch["centers"], batch["windows"], batch["confidence"])
        weight, teacher_weight = batch["weight"], batch["teacher_weight"]
        if totals and self.weighted:
            # sum w l / B with weights that make it sum w l / total.
            criterion = replace(criterion, reduction="official")
            weight = weight * (weight.numel() * _inverse(totals["weight"]))
            teacher_weight = teacher_weight * (len(weight) * _inverse(totals["teacher_weight"]))
        joint: hk.JointLoss = criterion(logits, targets, batch["coords"], weight, teacher_weight)
        return joint.loss, {"coordinate": joint.coordinate_loss, "hhd": joint.hhd_loss}


def _total(totals: Totals | None, name: str) -> Tensor | None:
    return None if totals is None else totals[name]


def _inverse(total: Tensor) -> Tensor:
    return torch.where(total > 0, 1 / total, 0)
