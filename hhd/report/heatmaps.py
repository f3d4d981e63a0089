"""The student's maps beside its teacher's, with the window of the distillation."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

import hhd_kernels as hk
from hhd.data.dataset import normalise_images
from hhd.report.curves import STYLE
from hhd.report.evaluated import Evaluated
from hhd.report.poses import Picture, crop_of
from hhd.teach.teachers import Teacher, label_teacher, model_teacher
from hhd.text import printable

WINDOWED = ("published", "kl")
MARKS: dict[str, dict[str, Any]] = {
    "label": {"marker": "+", "color": "#3cff50"},
    "predicted place": {"marker": "x", "color": "#ff7828"},
    "teacher's peak": {"marker": "o", "color": "white", "fillstyle": "none"},
}


def teacher_of(run: Evaluated, device: torch.device) -> Teacher | None:
    """The recipe's teacher; None without one, ``OSError`` or ``ValueError`` where it is not to be
    had for the evaluation's pictures."""
    recipe, card = run.recipe, run.decoder.card
    if recipe.teacher_maps is not None:
        raise ValueError("the teacher's maps are stored, for the training pictures alone")
    if recipe.teacher is None:
        return None
    size = card.input_size[0] // run.model.stride, card.input_size[1] // run.model.stride
    if recipe.teacher == "labels":
        return label_teacher(size, card.sigma)
    return model_teacher(
        Path(recipe.teacher),
        card.skeleton,
        input_size=card.input_size,
        affine=card.affine,
        size=size,
        joint_map=recipe.teacher_joint_map,
        device=device,
        network=recipe.teacher_model,
    )


def chosen_joints(run: Evaluated, positions: Sequence[int]) -> list[tuple[int, int]]:
    """Of each person the joint that is furthest off."""
    return [(position, int(np.nanargmax(run.errors[position]))) for position in positions]


@torch.inference_mode()
def heatmap_picture(
    run: Evaluated, shown: Sequence[tuple[int, int]], teacher: Teacher | None, device: torch.device
) -> Picture:
    """A row a (person, joint): the crop, the student's map and, if there is one, the teacher's."""
    columns = 2 if teacher is None else 3
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(2.4 * columns, 2.55 * len(shown) + 0.5), layout="constrained")
        grid = figure.subplots(len(shown), columns, squeeze=False)
        for row, (position, joint) in zip(grid, shown, strict=True):
            _draw_row(row, run, position, joint, teacher, device)
        handles, names = [], []
        for axes in grid.flat:
            axes.set_axis_off()
            for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
                if name not in names:
                    handles.append(handle)
                    names.append(name)
        legend = figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=True)
        legend.get_frame().set(facecolor="#557")
        for text in legend.get_texts():
            text.set_color("white")
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=100)
    source = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return Picture(source, f"maps of the network; marked are: {', '.join(names)}")


def _draw_row(
    row: NDArray[Any],
    run: Evaluated,
    position: int,
    joint: int,
    teacher: Teacher | None,
    device: torch.device,
) -> None:
    item, card = run.data[position], run.decoder.card
    images = normalise_images(torch.from_numpy(item["image"])[None].to(device))
    place = run.decoder(run.model, images)[0][0, joint].cpu().numpy()
    student = _student_map(run.model(images)[0, joint], card.task, card.beta)
    maps = [("student" if card.task == "integral" else "network", student)]
    window = None
    if teacher is not None:
        batch = {
            name: torch.from_numpy(item[name])[None].to(device)
            for name in ("coords", "weight", "labelled")
        }
        taught = teacher(batch, images)[:, joint : joint + 1].float()
        maps.append(("teacher", taught[0, 0].cpu().numpy()))
        height = float(taught.max())
        if run.recipe.loss in WINDOWED and height > 0 and height >= run.recipe.teacher_gate:
            window = hk.locate_teacher(taught)[0, 0].cpu().numpy()
    name = printable(card.skeleton.joints[joint])
    annotation = run.data.persons[position].annotation_id
    crop, _ = crop_of(run, position)
    row[0].imshow(crop[:, :, ::-1])
    row[0].set_title(f"annotation {annotation}: {name}")
    marks = {"label": item["coords"][joint], "predicted place": place}
    _mark(row[0], {key: point / run.data.to_cells for key, point in marks.items()})
    for axes, (owner, values) in zip(row[1:], maps, strict=True):
        axes.imshow(values, cmap="viridis")
        axes.set_title(f"{owner}: {values.min():.2g} to {values.max():.2g}")
        _mark(axes, marks if window is None else marks | {"teacher's peak": window})
        if window is not None:
            axes.add_patch(_window(window, run.recipe.distillation()[0]))


def _student_map(logits: Tensor, task: str, beta: float) -> NDArray[np.float32]:
    """What the student's coordinates are read from: the softmax of an integral one's logits."""
    values = logits.float()
    if task == "integral":
        values = torch.softmax(beta * values.flatten(), 0).view_as(values)
    return np.asarray(values.cpu().numpy(), dtype=np.float32)


def _mark(axes: Any, marks: dict[str, NDArray[Any]]) -> None:
    limits = axes.axis()
    for name, (x, y) in marks.items():
        axes.plot([x], [y], linestyle="none", markersize=8, label=name, **MARKS[name])
    axes.axis(limits)


def _window(center: NDArray[Any], side: int) -> Rectangle:
    """Whole cells from ``center - side // 2`` on, as the losses crop them."""
    x, y = center - side // 2 - 0.5
    return Rectangle(
        (x, y), side, side, fill=False, edgecolor="white", label="window of the distillation"
    )
