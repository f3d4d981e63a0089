"""A sheet of training crops as the network will see them, joints drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from hhd.data.dataset import CropDataset
from hhd.data.skeleton import Skeleton, load_skeleton
from hhd.draw import Image, caption, draw_pose, enlarge, legend, tile, write_picture
from hhd.train.data import build_train_data
from hhd.train.recipe import Recipe

SMALLEST_SIDE = 160


def write_preview(recipe: Recipe, file: Path, count: int, console: Console) -> None:
    """Write a sheet of ``count`` training crops, for which no teacher need be there."""
    skeleton = load_skeleton(recipe.skeleton)
    data = build_train_data(recipe, skeleton, 1, console, taught=False).parts[0]
    order = np.random.default_rng(recipe.seed).permutation(len(data))
    # Persons again in later epochs, augmented anew, where there are not enough of them.
    indices = [int(order[i % len(data)]) + i // len(data) * len(data) for i in range(count)]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_picture(file, preview(data, skeleton, indices))


def preview(
    data: CropDataset, skeleton: Skeleton, indices: Sequence[int], columns: int = 6
) -> Image:
    """The data set's items ``indices``, ``columns`` a row, under their annotations' ids.

    Labelled joints inside the crop are drawn, by :meth:`CropDataset.targets`: where a joint is off
    in the picture, the network is taught so. Below is a legend of the joints' numbers and colours.
    """
    if not indices:
        raise ValueError("a preview needs at least one picture")
    cells = []
    for index in indices:
        item = data[index]
        crop = np.ascontiguousarray(item["image"].transpose(1, 2, 0)[:, :, ::-1])
        zoom = max(1, -(-SMALLEST_SIDE // min(crop.shape[:2])))
        points = item["coords"] / data.to_cells * zoom
        drawn = draw_pose(enlarge(crop, zoom), points, skeleton, item["weight"] > 0, numbered=True)
        person = data.persons[item["position"]]
        cells.append(caption(drawn, f"{person.annotation_id}"))
    blank = np.zeros_like(cells[0])
    columns = min(columns, len(cells))
    cells += [blank] * (-len(cells) % columns)
    sheet = tile([cells[i : i + columns] for i in range(0, len(cells), columns)])
    return np.vstack([sheet, legend(skeleton, sheet.shape[1], numbered=True)])
