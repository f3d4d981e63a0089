"""The crops that a recipe trains and evaluates on."""

from __future__ import annotations

import importlib
from typing import Any

from rich.console import Console

from hhd.console import say
from hhd.data.augment import Augmentation
from hhd.data.dataset import CropDataset, Transform
from hhd.data.read import read_annotations
from hhd.data.skeleton import Skeleton
from hhd.teach.maps import TeacherMaps
from hhd.text import shown
from hhd.train.recipe import Recipe
from hhd.train.resume import input_files


def build_data(
    recipe: Recipe, skeleton: Skeleton, stride: int, console: Console
) -> tuple[CropDataset, CropDataset]:
    """Training crops, augmented, and evaluation crops, which are never filtered or augmented."""
    train_data = build_train_data(recipe, skeleton, stride, console)
    files = input_files(recipe)
    reading = read_annotations(
        files["val_annotations"],
        recipe.data_path(recipe.val_images),
        skeleton,
        boxes=recipe.boxes,
        category=recipe.category,
        outside=recipe.images_outside,
        detections=files.get("val_detections"),
        detection_category=recipe.detection_category,
        score_threshold=recipe.detection_threshold,
    )
    val_persons = reading.require()
    say(console, f"{len(train_data)} persons to train on, {len(val_persons)} to evaluate on")
    _say_left_out(console, "evaluation", reading.left_out_text())
    return train_data, CropDataset(val_persons, skeleton, **_geometry(recipe, stride))


def build_train_data(
    recipe: Recipe, skeleton: Skeleton, stride: int, console: Console
) -> CropDataset:
    """The training crops alone, for which no file of the evaluation need be there."""
    files = input_files(recipe)
    reading = read_annotations(
        files["train_annotations"],
        recipe.data_path(recipe.train_images),
        skeleton,
        boxes=recipe.boxes,
        category=recipe.category,
        outside=recipe.images_outside,
    )
    train_persons = reading.require()
    _say_left_out(console, "training", reading.left_out_text())
    if recipe.drop_swapped_labels:
        swapped = sum(person.swapped for person in train_persons)
        train_persons = [person for person in train_persons if not person.swapped]
        say(console, f"{swapped} training persons with swapped labels left out")
    maps = None
    if recipe.teacher_maps is not None:
        maps = TeacherMaps(
            files["teacher_maps"],
            files["teacher_ids"],
            skeleton,
            input_size=recipe.input_size,
            stride=stride,
            activation=recipe.teacher_activation,
            joint_map=recipe.teacher_joint_map,
            grid=recipe.teacher_grid,
        )
        maps.check_covers(person.annotation_id for person in train_persons)
    augmentation = Augmentation(
        recipe.scale_factor,
        recipe.rotation_factor,
        recipe.rotation_probability,
        recipe.flip_probability,
        recipe.half_body_probability,
        shift_probability=recipe.shift_probability,
        rule=recipe.augmentation,
    )
    return CropDataset(
        train_persons,
        skeleton,
        **_geometry(recipe, stride),
        augmentation=augmentation,
        transform=None if recipe.transform is None else load_transform(recipe.transform),
        teacher_maps=maps,
        seed=recipe.seed,
    )


def _say_left_out(console: Console, part: str, text: str) -> None:
    say(console, f"{part} {text}" if text else "")


def _geometry(recipe: Recipe, stride: int) -> dict[str, Any]:
    return {
        "input_size": recipe.input_size,
        "stride": stride,
        "padding": recipe.padding,
        "affine": recipe.affine,
    }


def load_transform(name: str) -> Transform:
    """The user's function called ``package.module.function``."""
    module, _, function = name.rpartition(".")
    try:
        found: Transform = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"transform is {shown(name)}, which cannot be imported: {error}"
        ) from error
    if not callable(found):
        raise ValueError(f"transform is {shown(name)}, which is no function")
    return found
