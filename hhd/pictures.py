"""The demonstration's pictures: what it is about, predictions, heatmaps with windows, curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import cv2
import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray

import hhd_kernels as hk
from hhd.data.affine import invert, transform_points
from hhd.data.dataset import CropDataset, normalise_images
from hhd.draw import (
    Image,
    caption,
    draw_heatmap,
    draw_pose,
    draw_window,
    enlarge,
    legend,
    tile,
    write_picture,
)
from hhd.train.loop import Trained

ZOOM = 4
SHOWN = 6
CROSS, ANSWER = (255, 255, 255), (60, 60, 255)


def write_pictures(out: Path, runs: Mapping[str, Trained], windows: Mapping[str, int]) -> None:
    """Write overview.png, predictions.png, heatmaps.png and curves.png to ``out``.

    ``windows``: the side of the window that a run's loss compares, 0 for none.
    """
    write_picture(out / "overview.png", overview_picture(runs, windows["kl"]))
    write_picture(out / "predictions.png", predictions_picture(runs))
    write_picture(out / "heatmaps.png", heatmaps_picture(runs, windows))
    students = {name: out / name / "log.jsonl" for name in runs if name != "teacher"}
    draw_curves(out / "curves.png", students)


def overview_picture(
    runs: Mapping[str, Trained], side: int, position: int = 0, joint: int = 6
) -> Image:
    """The method in a row: a person, the teacher's map, the student's, the student's pose."""
    teacher, student = runs["teacher"], runs["kl"]
    skeleton = teacher.decoder.card.skeleton
    picture, to_input = _crop(teacher.val, position)
    name = skeleton.joints[joint].replace("_", " ")
    panels = [caption(picture, "input")]
    center = _view(teacher, position, joint).peak
    for title, trained in (("the teacher's map", teacher), ("the student's map", student)):
        view = _view(trained, position, joint)
        drawn = draw_window(draw_heatmap(picture, view.shown), center, (side, side), view.cell)
        panels.append(caption(drawn, f"{title}: {name}"))
    found = student.report.predictions.coords[position]
    panels.append(caption(draw_pose(picture, transform_points(found, to_input), skeleton), "pose"))
    text = "square: the window in which the maps are compared; blue left, red right"
    row = tile([panels])
    return np.vstack([row, caption(np.zeros((0, row.shape[1], 3), np.uint8), text)])


def predictions_picture(runs: Mapping[str, Trained]) -> Image:
    """A row a held-out person: the labels, then what each run found."""
    data = next(iter(runs.values())).val
    skeleton = runs["teacher"].decoder.card.skeleton
    rows = []
    for position in range(min(SHOWN, len(data))):
        picture, to_input = _crop(data, position)
        poses = {"labels": data.persons[position].keypoints[:, :2]}
        poses |= {n: trained.report.predictions.coords[position] for n, trained in runs.items()}
        rows.append(
            [
                caption(draw_pose(picture, transform_points(joints, to_input), skeleton), name)
                for name, joints in poses.items()
            ]
        )
    sheet = tile(rows)
    return np.vstack([sheet, legend(skeleton, sheet.shape[1])])


def heatmaps_picture(runs: Mapping[str, Trained], windows: Mapping[str, int]) -> Image:
    """A row a joint: the labelled picture, then each run's map, the window that its loss compares
    (around its teacher's peak, or the label), the label and the run's own answer."""
    data, skeleton = runs["teacher"].val, runs["teacher"].decoder.card.skeleton
    rows = []
    for position, joint in zip(range(min(SHOWN, len(data))), (6, 0, 11, 5, 7, 1), strict=False):
        picture, to_input = _crop(data, position)
        label = transform_points(data.persons[position].keypoints[joint : joint + 1, :2], to_input)
        center = _view(runs["teacher"], position, joint).peak
        row = [caption(_marked(picture, label[0]), skeleton.joints[joint].replace("_", " "))]
        for name, trained in runs.items():
            view = _view(trained, position, joint)
            drawn = draw_heatmap(picture, view.shown)
            if windows[name]:
                place = label[0] / view.cell if name == "labels" else center
                drawn = draw_window(drawn, place, (windows[name],) * 2, view.cell)
            found = trained.report.predictions.coords[position][joint : joint + 1]
            answer = transform_points(found, to_input)[0]
            drawn = _marked(drawn, label[0], answer)
            row.append(caption(drawn, f"{name}, peak {view.shown.max():.2g}"))
        rows.append(row)
    sheet = tile(rows)
    text = "cross: the label   dot: the run's answer   square: the window that the loss compares"
    words = caption(np.zeros((0, sheet.shape[1], 3), np.uint8), text)
    scale = "each map from 0 (violet) to its own peak (yellow); students' maps sum to 1"
    return np.vstack([sheet, words, caption(np.zeros((0, sheet.shape[1], 3), np.uint8), scale)])


def draw_curves(path: Path, logs: Mapping[str, Path]) -> None:
    """PCK@0.2 and AUC over steps, a line a student: losses of different kinds do not compare."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name, log in logs.items():
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        scores = [line for line in lines if "pck" in line]
        for axis, number in zip(axes, ("at_02", "auc"), strict=True):
            values = [100 * line["pck"][number] for line in scores]
            axis.plot([line["step"] for line in scores], values, marker="o", label=name)
    for axis, title in zip(axes, ("PCK@0.2 (%)", "AUC (%)"), strict=True):
        axis.set(xlabel="step", ylabel=title)
    axes[0].legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


class _View(NamedTuple):
    """A run's map of one joint as it is shown, its peak in cells, and a cell's picture pixels."""

    shown: NDArray[np.float32]
    peak: NDArray[np.float32]
    cell: float


def _view(trained: Trained, position: int, joint: int) -> _View:
    item = trained.val[position]
    images = normalise_images(torch.from_numpy(item["image"])[None])
    with torch.inference_mode():
        maps = trained.model(images)[:, joint : joint + 1].contiguous()
        peak = hk.locate_teacher(maps)[0, 0].numpy()
    shown = maps[0, 0]
    if trained.decoder.card.task == "integral":
        shown = torch.softmax(trained.decoder.card.beta * shown.flatten(), 0).view_as(shown)
    return _View(shown.numpy(), peak, ZOOM * trained.model.stride)


def _marked(
    picture: Image, label: NDArray[np.float64], answer: NDArray[np.float64] | None = None
) -> Image:
    canvas = picture.copy()
    cv2.drawMarker(canvas, (round(label[0]), round(label[1])), CROSS, cv2.MARKER_CROSS, 14, 1)
    if answer is not None and np.isfinite(answer).all():
        cv2.circle(canvas, (round(answer[0]), round(answer[1])), 3, ANSWER, -1, cv2.LINE_AA)
    return canvas


def _crop(data: CropDataset, position: int) -> tuple[Image, np.ndarray]:
    """The input crop enlarged, BGR, and the matrix from image pixels to it."""
    item = data[position]
    crop = np.ascontiguousarray(item["image"].transpose(1, 2, 0)[:, :, ::-1])
    return enlarge(crop, ZOOM), invert(item["to_image"]) * ZOOM
