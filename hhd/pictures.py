"""The demonstration's pictures: predictions, heatmaps with their windows, curves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import torch

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
    tile,
    write_picture,
)
from hhd.train.loop import Trained
from hhd.train.recipe import Recipe

ZOOM = 4
SHOWN = 6


def write_pictures(out: Path, runs: Mapping[str, Trained], kl: Recipe, local_window: int) -> None:
    """Write predictions.png, heatmaps.png and curves.png to ``out``."""
    write_picture(out / "predictions.png", predictions_picture(runs))
    write_picture(out / "heatmaps.png", heatmaps_picture(runs, kl))
    draw_curves(out / "curves.png", {name: out / name / "log.jsonl" for name in runs})


def predictions_picture(runs: Mapping[str, Trained]) -> Image:
    """A row a held-out person: the labels, then what each run found."""
    data = next(iter(runs.values())).val
    rows = []
    for position in range(min(SHOWN, len(data))):
        picture, to_input = _crop(data, position)
        person = data.persons[position]
        row = [_pose_on(picture, person.keypoints[:, :2], to_input, "labels", runs)]
        for name, trained in runs.items():
            found = trained.report.predictions.coords[position]
            row.append(_pose_on(picture, found, to_input, name, runs))
        rows.append(row)
    return tile(rows)


def heatmaps_picture(runs: Mapping[str, Trained], kl: Recipe) -> Image:
    """A row a joint: the labelled picture, then each run's map under its window."""
    teacher = runs["teacher"]
    data, skeleton = teacher.val, teacher.decoder.card.skeleton
    rows = []
    for position, joint in zip(range(min(SHOWN, len(data))), (6, 0, 11, 5, 7, 1), strict=False):
        item = data[position]
        images = normalise_images(torch.from_numpy(item["image"])[None])
        picture, _ = _crop(data, position)
        cell = ZOOM * teacher.model.stride
        label = item["coords"][joint] * cell
        marked = cv2.drawMarker(picture.copy(), (round(label[0]), round(label[1])), (255, 255, 255))
        row = [
            caption(np.asarray(marked, dtype=np.uint8), skeleton.joints[joint].replace("_", " "))
        ]
        centre = None
        for name, trained in runs.items():
            with torch.inference_mode():
                maps = trained.model(images)[:, joint : joint + 1].contiguous()
            centre = hk.locate_teacher(maps)[0, 0].numpy() if centre is None else centre
            shown = maps[0, 0]
            if trained.decoder.card.task == "integral":
                beta = trained.decoder.card.beta
                shown = torch.softmax(beta * shown.flatten(), 0).view_as(shown)
            drawn = draw_heatmap(picture, shown.numpy())
            if name in ("teacher", "published", "kl"):
                side = 8 if name == "published" else kl.distillation()[0]
                drawn = draw_window(drawn, centre, (side, side), cell)
            row.append(caption(drawn, name))
        rows.append(row)
    return tile(rows)


def draw_curves(path: Path, logs: Mapping[str, Path]) -> None:
    """Loss over steps and PCK@0.2 over epochs, a line a run."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name, log in logs.items():
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        steps = [
            (line["step"], line["loss"] / lines[0]["loss"]) for line in lines if "loss" in line
        ]
        scores = [(line["epoch"], 100 * line["pck"]["at_02"]) for line in lines if "pck" in line]
        left.plot(*zip(*steps, strict=True), label=name)
        right.plot(*zip(*scores, strict=True), marker="o", label=name)
    left.set(xlabel="step", ylabel="loss / loss of the first step", yscale="log")
    right.set(xlabel="epoch", ylabel="PCK@0.2 (%)")
    right.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _crop(data: CropDataset, position: int) -> tuple[Image, np.ndarray]:
    """The input crop enlarged, BGR, and the matrix from image pixels to it."""
    item = data[position]
    crop = np.ascontiguousarray(item["image"].transpose(1, 2, 0)[:, :, ::-1])
    return enlarge(crop, ZOOM), invert(item["to_image"]) * ZOOM


def _pose_on(
    picture: Image, joints: np.ndarray, to_input: np.ndarray, name: str, runs: Mapping[str, Trained]
) -> Image:
    skeleton = runs["teacher"].decoder.card.skeleton
    return caption(draw_pose(picture, transform_points(joints, to_input), skeleton), name)
