"""Targets of the augmented views that a recipe shows in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from hhd.data.dataset import normalise_images
from hhd.data.loading import Index, make_loader, read_batches
from hhd.data.skeleton import load_skeleton
from hhd.files import file_digest
from hhd.models import build_model
from hhd.teach.store import Records
from hhd.teaching.fill import fill_store
from hhd.train.data import build_train_data
from hhd.train.losses import DistillationLoss, build_loss
from hhd.train.ownership import Stop
from hhd.train.processes import joined_processes
from hhd.train.recipe import Recipe
from hhd.train.teacher import build_teacher
from hhd.train.views import view_settings


def teach_views(recipe: Recipe, folder: Path, console: Console, stop: Stop | None = None) -> None:
    """Targets of the augmented views that the recipe shows in turn, by its own teacher."""
    if recipe.loss not in ("published", "kl") or recipe.targets is not None or not recipe.teaches():
        raise ValueError(
            "hhd teach views takes a recipe with loss published or kl and a teacher of its own"
        )
    if not recipe.views:
        raise ValueError("views is 0; hhd teach views takes the number of views of a person")
    with joined_processes(recipe.device) as processes:
        console = console if processes.first else Console(quiet=True)
        skeleton = load_skeleton(recipe.skeleton)
        stride = build_model(recipe.model, len(skeleton), deconv=recipe.deconv).stride
        size = recipe.input_size[0] // stride, recipe.input_size[1] // stride
        criterion = build_loss(recipe, size)
        assert isinstance(criterion, DistillationLoss)
        teacher = build_teacher(recipe, skeleton, size, criterion, processes.device)
        assert teacher is not None
        data = build_train_data(recipe, skeleton, stride, console)
        places = [(part, n) for part, crops in enumerate(data.parts) for n in range(len(crops))]

        def views_of(positions: Sequence[int]) -> list[list[Index]]:
            """All views of one person after the other."""
            return [
                [(part, view * len(data.parts[part]) + n) for view in range(recipe.views)]
                for part, n in (places[position] for position in positions)
            ]

        def look(positions: Sequence[int]) -> Iterator[Records]:
            for batch in read_batches(make_loader(data, views_of(positions), recipe.workers)):
                batch = {key: value.to(processes.device) for key, value in batch.items()}
                images = normalise_images(batch["image"])
                maps = teacher(batch, images.contiguous(memory_format=torch.channels_last))
                assert isinstance(maps, Tensor)
                targets = criterion.targets(maps)
                yield {
                    "centers": targets.centers[None].cpu().numpy(),
                    "windows": targets.windows[None].half().cpu().numpy(),
                    "confidence": targets.confidence[None].cpu().numpy(),
                }

        settings = {**view_settings(recipe, skeleton), "teacher": _teacher_name(recipe)}
        everybody = [data.parts[part].persons[n] for part, n in places]
        fill_store(folder, settings, everybody, look, processes, console, stop or Stop())


def _teacher_name(recipe: Recipe) -> str:
    if recipe.teacher_maps is not None:
        return file_digest(recipe.data_path(recipe.teacher_maps))
    assert recipe.teacher is not None
    return "labels" if recipe.teacher == "labels" else file_digest(Path(recipe.teacher))
