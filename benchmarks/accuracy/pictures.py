"""A network's accuracy, picture by picture and by several ways to decode it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.accuracy.place import Place
from hhd.data.affine import transform_points
from hhd.data.dataset import CropDataset, normalise_images
from hhd.data.loading import make_loader
from hhd.data.person import Person
from hhd.data.read import read_annotations
from hhd.data.skeleton import Skeleton
from hhd.evaluation.decode import Decoder
from hhd.evaluation.pck import THRESHOLDS, units
from hhd.models.base import PoseModel
from hhd.models.files import ModelCard

BATCH = 64


def val_crops(place: Place, model: PoseModel, card: ModelCard) -> CropDataset:
    """val as a network sees it."""
    images = place.data / place.images("val")
    reading = read_annotations(place.annotations("val"), images, card.skeleton)
    return CropDataset(
        reading.require(),
        card.skeleton,
        input_size=card.input_size,
        stride=model.stride,
        padding=card.padding,
        affine=card.affine,
    )


def decodings(card: ModelCard) -> dict[str, ModelCard]:
    """Ways to read a network; the first is the one it was evaluated with."""
    ways = {"as trained": card, "no flip": replace(card, flip_test="none")}
    if card.task == "heatmap":
        return {**ways, "plain": replace(card, heatmap_decode="plain")}
    local, whole = replace(card, decode_window=9), replace(card, decode_window=None)
    return {
        **ways,
        "local": local,
        "local, coordinates": replace(local, flip_test="coordinates"),
        **{f"whole, beta x{k}": replace(whole, beta=k * card.beta) for k in (1, 2, 3, 5, 8)},
    }


def accuracy(
    model: PoseModel,
    ways: Mapping[str, ModelCard],
    data: CropDataset,
    device: torch.device,
) -> dict[str, dict[str, Any]]:
    """For each way the shares of all joints and, by picture, how many joints it found.

    ``at_02`` and ``at_05``: joints within .2 and .5 torsos, by picture in the order of the
    annotations; ``area``: the sum over its joints of the area under PCK from 0 to .5. ``judged`` is
    the number of its joints that have a label.
    """
    found = predict_all(model, ways, data, device)
    return {
        name: by_picture(distances(coords, data.persons, ways[name].skeleton))
        for name, coords in found.items()
    }


@torch.inference_mode()
def predict_all(
    model: PoseModel, ways: Mapping[str, ModelCard], data: CropDataset, device: torch.device
) -> dict[str, NDArray[np.float64]]:
    """Image coordinates [N, K, 2] by each way, of one look at each crop and its mirror image."""
    points: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ways}
    for batch in make_loader(data, BATCH, 0):
        images = normalise_images(batch["image"].to(device)).contiguous(
            memory_format=torch.channels_last
        )
        maps, mirrored = model(images), model(images.flip(3))
        for name, card in ways.items():
            decoder = Decoder(card)
            coords, _ = decoder.combine(maps, mirrored, images, model.stride)
            cells = decoder.cells_per_pixel(images, model.stride)
            to_image = batch["to_image"].numpy()[:, None]
            points[name].append(transform_points(coords.double().cpu().numpy() / cells, to_image))
    return {name: np.concatenate(parts) for name, parts in points.items()}


def distances(
    coords: NDArray[np.float64], persons: list[Person], skeleton: Skeleton
) -> NDArray[np.float64]:
    """[N, J] in torsos of the joints that PCK is of; NaN without a label, infinite where there is
    no finite place (see :func:`hhd.evaluation.pck.pck`)."""
    joints = skeleton.indices(skeleton.pck_joints)
    truth = np.stack([person.keypoints for person in persons])[:, joints]
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.linalg.norm(coords[:, joints] - truth[..., :2], axis=2)
    error[np.isnan(error)] = np.inf
    error[truth[..., 2] <= 0] = np.nan
    return error / units(persons, skeleton)[:, None]


def by_picture(values: NDArray[np.float64]) -> dict[str, Any]:
    """Counts by picture and the shares that they make."""
    judged = ~np.isnan(values)
    at_02, at_05 = (values <= 0.2).sum(1), (values <= 0.5).sum(1)
    curve = (values[..., None] <= THRESHOLDS).sum(1)
    area = (curve[:, :-1] + curve[:, 1:]).mean(1) / 2
    total = judged.sum()
    return {
        "PCK@0.2": round(100 * float(at_02.sum() / total), 3),
        "PCK@0.5": round(100 * float(at_05.sum() / total), 3),
        "AUC": round(100 * float(area.sum() / total), 3),
        "at_02": at_02.tolist(),
        "at_05": at_05.tolist(),
        "area": np.round(area, 3).tolist(),
        "judged": judged.sum(1).tolist(),
    }
