"""A run's network over the evaluation data of its recipe, for the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from hhd.data.dataset import CropDataset
from hhd.data.loading import make_loader
from hhd.data.person import Person
from hhd.data.read import read_annotations
from hhd.data.skeleton import Skeleton
from hhd.evaluation.decode import Decoder, predict
from hhd.evaluation.pck import pck, undefined, units
from hhd.models.base import PoseModel
from hhd.models.files import load_model
from hhd.report.run import Run
from hhd.train.recipe import Recipe, load_recipe


@dataclass(frozen=True)
class Evaluated:
    """``coords`` [N, K, 2] in image pixels; ``errors`` [N, K] in the skeleton's unit, NaN where a
    joint is not labelled or not judged."""

    model: PoseModel
    decoder: Decoder
    data: CropDataset
    recipe: Recipe
    coords: NDArray[np.float64]
    errors: NDArray[np.float64]
    pck: float

    @property
    def skeleton(self) -> Skeleton:
        """The joints."""
        return self.decoder.card.skeleton

    def ranking(self) -> list[int]:
        """Persons from the smallest mean error to the largest; without those of few labels, whose
        mean says little."""
        judged = (~np.isnan(self.errors)).sum(axis=1)
        ranked = np.flatnonzero(judged >= max(1, judged.max() / 2))
        means = np.nanmean(self.errors[ranked], axis=1)
        return [int(ranked[i]) for i in np.argsort(means, kind="stable")]


def evaluate_run(run: Run, data_root: Path | None, device: torch.device) -> Evaluated:
    """Run the network over annotated persons; ``OSError`` and ``ValueError`` say what is not there.

    ``data_root`` replaces the recipe's, whose relative paths start where the run was started.
    """
    model, card = load_model(run.model)
    recipe = _recipe(run)
    if data_root is not None:
        recipe = replace(recipe, data_root=str(data_root))
    skeleton = card.skeleton
    persons = read_annotations(
        recipe.data_path(recipe.val_annotations),
        recipe.data_path(recipe.val_images),
        skeleton,
        boxes=recipe.boxes,
        category=recipe.category,
        outside=recipe.images_outside,
    ).require()
    reason = undefined(persons, skeleton)
    if reason is not None:
        raise ValueError(reason)
    data = CropDataset(
        persons,
        skeleton,
        input_size=card.input_size,
        stride=model.stride,
        padding=card.padding,
        affine=card.affine,
    )
    decoder, model = Decoder(card), model.to(device)
    found = predict(model, decoder, make_loader(data, 32, 0), device)
    errors = joint_errors(found.coords, persons, skeleton)
    return Evaluated(
        model,
        decoder,
        data,
        recipe,
        found.coords,
        errors,
        pck(found.coords, persons, skeleton).at_02,
    )


def joint_errors(
    coords: NDArray[np.float64], persons: Sequence[Person], skeleton: Skeleton
) -> NDArray[np.float64]:
    """Distances [N, K] of ``coords`` [N, K, 2] from the labels in the skeleton's unit, as PCK
    judges them: infinite for what is no place, NaN where there is nothing to judge."""
    truth = np.stack([person.keypoints for person in persons])
    judged = np.zeros(truth.shape[:2], dtype=bool)
    judged[:, skeleton.indices(skeleton.pck_joints)] = True
    judged &= (truth[..., 2] > 0) & ~np.isnan(units(persons, skeleton))[:, None]
    with np.errstate(invalid="ignore", over="ignore"):
        errors = np.linalg.norm(coords - truth[..., :2], axis=2) / units(persons, skeleton)[:, None]
    errors[~np.isfinite(errors)] = np.inf
    return np.where(judged, errors, np.nan)


def _recipe(run: Run) -> Recipe:
    """As the schema has it today: fields that came since have their defaults."""
    known = {field.name for field in fields(Recipe)}
    kept = {name: value for name, value in run.recipe.items() if name in known}
    # Every field is replaced; what is left of the shipped one is that a file is read.
    return load_recipe("demo_student", **{**Recipe().as_dict(), **kept})
