"""The crops that a recipe trains and evaluates on."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from hhd.console import say
from hhd.data.augment import Augmentation
from hhd.data.cache import CropCache
from hhd.data.dataset import CropDataset, Transform
from hhd.data.loading import MixedData
from hhd.data.person import Person
from hhd.data.read import read_annotations
from hhd.data.skeleton import Skeleton
from hhd.teach.maps import TeacherMaps
from hhd.teach.store import TargetStore, check_settings
from hhd.teach.stored import CanonicalTargets, ViewTargets, open_targets
from hhd.text import shown
from hhd.train.recipe import Recipe
from hhd.train.resume import input_files
from hhd.train.views import view_settings


def build_data(
    recipe: Recipe, skeleton: Skeleton, stride: int, console: Console
) -> tuple[MixedData, CropDataset]:
    """Training crops, augmented, and evaluation crops, which are never filtered or augmented."""
    train_data = build_train_data(recipe, skeleton, stride, console)
    val_data = build_val_data(recipe, skeleton, stride, console)
    numbers = " + ".join(str(len(part)) for part in train_data.parts)
    say(console, f"{numbers} persons to train on, {len(val_data)} to evaluate on")
    return train_data, val_data


def build_val_data(
    recipe: Recipe, skeleton: Skeleton, stride: int, console: Console
) -> CropDataset:
    """The crops that a run is evaluated on."""
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
    persons = reading.require()
    _say_left_out(console, "evaluation", reading.left_out_text())
    return CropDataset(persons, skeleton, **_geometry(recipe, stride))


def build_train_data(
    recipe: Recipe, skeleton: Skeleton, stride: int, console: Console, taught: bool = True
) -> MixedData:
    """The training crops alone, for which no file of the evaluation need be there, nor, unless they
    are ``taught``, any of the teacher."""
    stored = None if recipe.targets is None or not taught else build_targets(recipe, skeleton)
    return MixedData(
        [
            _build_part(recipe, skeleton, stride, part, persons, stored, taught)
            for part, persons in enumerate(train_persons(recipe, skeleton, console))
        ]
    )


def train_persons(recipe: Recipe, skeleton: Skeleton, console: Console) -> list[list[Person]]:
    """The persons of train_annotations and of each of further_annotations."""
    folders = [
        recipe.train_images,
        *(recipe.further_images or [recipe.train_images] * len(recipe.further_annotations)),
    ]
    parts = []
    files = [recipe.train_annotations, *recipe.further_annotations]
    for part, (file, images) in enumerate(zip(files, folders, strict=True)):
        reading = read_annotations(
            recipe.data_path(file),
            recipe.data_path(images),
            skeleton,
            boxes=recipe.boxes,
            category=recipe.category,
            outside=recipe.images_outside,
            unlabelled=bool(part) or recipe.labels != "required",
        )
        persons = reading.require()
        _say_left_out(console, "training", reading.left_out_text())
        if recipe.drop_swapped_labels:
            swapped = sum(person.swapped for person in persons)
            persons = [person for person in persons if not person.swapped]
            left_out = f"{swapped} training persons with swapped labels left out"
            say(console, left_out if swapped or not part else "")
        if recipe.labels == "ignored" and part == 0:
            persons = [replace(p, keypoints=np.zeros_like(p.keypoints)) for p in persons]
        parts.append(persons)
    return parts


def build_targets(recipe: Recipe, skeleton: Skeleton) -> CanonicalTargets | ViewTargets:
    """What the recipe's ``targets`` give to each crop."""
    assert recipe.targets is not None
    store = TargetStore(Path(recipe.targets))
    if store.settings.get("form") == "views":
        wanted = view_settings(recipe, skeleton)
        found = {name: store.settings.get(name) for name in wanted}
        check_settings(found, wanted, store.folder)
        return ViewTargets(store)
    floor = store.settings.get("floor")
    if recipe.teacher_floor and recipe.teacher_floor != floor:
        raise ValueError(
            f"teacher_floor is {recipe.teacher_floor}, but the targets in {store.folder} were "
            f"stored with floor {floor}: give that, or teach them again"
        )
    return CanonicalTargets(
        open_targets(store, skeleton), skeleton, partly=recipe.teacher == "labels"
    )


def _build_part(
    recipe: Recipe,
    skeleton: Skeleton,
    stride: int,
    part: int,
    persons: list[Person],
    stored: CanonicalTargets | ViewTargets | None,
    taught: bool,
) -> CropDataset:
    maps = _teacher_maps(recipe, skeleton, stride, persons) if taught else None
    if stored is not None:
        stored.check_covers(persons)
    pictures = None
    if recipe.cache is not None:
        pictures = CropCache(
            Path(recipe.cache),
            persons,
            input_size=recipe.input_size,
            padding=recipe.padding,
            room=recipe.cache_room,
        )
    return CropDataset(
        persons,
        skeleton,
        **_geometry(recipe, stride),
        augmentation=build_augmentation(recipe),
        transform=None if recipe.transform is None else load_transform(recipe.transform),
        teacher_maps=maps,
        stored=stored,
        pictures=pictures,
        importance=recipe.further_weight[part - 1] if part and recipe.further_weight else 1.0,
        views=recipe.views,
        seed=recipe.seed,
        part=part,
    )


def build_augmentation(recipe: Recipe) -> Augmentation:
    """How the recipe draws views."""
    return Augmentation(
        recipe.scale_factor,
        recipe.rotation_factor,
        recipe.rotation_probability,
        recipe.flip_probability,
        recipe.half_body_probability,
        shift_probability=recipe.shift_probability,
        rule=recipe.augmentation,
    )


def _teacher_maps(
    recipe: Recipe, skeleton: Skeleton, stride: int, persons: list[Person]
) -> TeacherMaps | None:
    if recipe.teacher_maps is None:
        return None
    files = input_files(recipe)
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
    maps.check_covers(person.annotation_id for person in persons)
    return maps


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
