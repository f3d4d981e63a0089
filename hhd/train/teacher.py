"""The teacher that a recipe names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import hhd_kernels as hk
from hhd.data.skeleton import Skeleton
from hhd.data.targets import gaussian_maps
from hhd.teach.store import TargetStore
from hhd.teach.stored import FIELD, joined, targets_of_batch, targets_of_views, zoom_of
from hhd.teach.teachers import Batch, label_teacher, model_teacher, stored_teacher
from hhd.train.losses import DistillationLoss, StepLoss, Taught
from hhd.train.recipe import Recipe

# From the batch (on the device) and its normalised images to the teacher's answer.
StepTeacher = Callable[[Batch, Tensor], Taught]


def build_teacher(
    recipe: Recipe,
    skeleton: Skeleton,
    size: tuple[int, int],
    criterion: StepLoss,
    device: torch.device,
) -> StepTeacher | None:
    """Maps [B, K, H, W] of ``size`` = (W, H), or targets of them, for each batch; None without a
    teacher."""
    if recipe.targets is not None:
        return _targets_teacher(recipe, size, criterion)
    if recipe.teacher_maps is not None:
        return stored_teacher
    if recipe.teacher is None:
        return None
    if recipe.teacher == "labels":
        return label_teacher(size, recipe.sigma)
    return model_teacher(
        Path(recipe.teacher),
        skeleton,
        input_size=recipe.input_size,
        affine=recipe.affine,
        size=size,
        joint_map=recipe.teacher_joint_map,
        device=device,
        network=recipe.teacher_model,
    )


def _targets_teacher(recipe: Recipe, size: tuple[int, int], criterion: StepLoss) -> StepTeacher:
    """Stored targets, and the labels' where the recipe says so and there are any."""
    assert recipe.targets is not None
    assert isinstance(criterion, DistillationLoss)
    store = TargetStore(Path(recipe.targets))
    options = criterion.criterion._target
    stored: Callable[[Batch, Tensor], hk.TeacherTargets]
    if store.settings["form"] == "views":
        if recipe.teacher_shape == "gaussian":
            raise ValueError(
                f"teacher_shape is gaussian, but targets {store.folder} are of views, which hold "
                "windows alone; it takes canonical ones"
            )

        def stored(batch: Batch, _images: Tensor) -> hk.TeacherTargets:
            return targets_of_views(batch)

    else:
        zoom = zoom_of(store.settings, size, recipe.teacher_sigma, store)

        def stored(batch: Batch, _images: Tensor) -> hk.TeacherTargets:
            return targets_of_batch(batch, size, options, zoom)

    if recipe.teacher_shape == "gaussian":
        stored = as_labels(stored, size, recipe.sigma, criterion)
    if recipe.teacher != "labels":
        return stored
    by_labels = label_teacher(size, recipe.sigma)

    def both(batch: Batch, images: Tensor) -> Taught:
        labels = criterion.targets(by_labels(batch, images))
        return joined(labels, stored(batch, images), batch["weight"])

    return both


def as_labels(
    stored: Callable[[Batch, Tensor], hk.TeacherTargets],
    size: tuple[int, int],
    sigma: float,
    criterion: DistillationLoss,
) -> Callable[[Batch, Tensor], hk.TeacherTargets]:
    """Gaussians at the places that ``stored`` gives: of the teacher's map its joint is left."""

    def labels(batch: Batch, images: Tensor) -> hk.TeacherTargets:
        known = stored(batch, images)
        # Between the cells, where the window's own centre may be a whole one.
        places = batch[FIELD + "centers"]
        seen = (known.confidence > 0).to(places.dtype)
        maps = gaussian_maps(places, seen, size, sigma, "dark")[0]
        return criterion.targets(maps)._replace(confidence=known.confidence)

    return labels
