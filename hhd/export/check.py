"""What an exported graph answers beside PyTorch: in pixels, and in accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from hhd.data.affine import Array, transform_points
from hhd.data.loading import make_loader, read_batches
from hhd.engines import Crops, Engine
from hhd.evaluate import read_evaluation, rules_of_card
from hhd.evaluation.coco_ap import ApRules
from hhd.evaluation.decode import Predictions
from hhd.evaluation.report import check_evaluation, score
from hhd.models.files import ModelCard


class Difference(NamedTuple):
    """Distances between the keypoints of two engines, in pixels of the crop."""

    mean: float
    median: float
    largest: float


def difference(keypoints: Array, others: Array) -> Difference:
    """Of keypoints [N, K, 2]; NaN in the same place is the same."""
    same = np.isnan(keypoints) & np.isnan(others)
    distance = np.linalg.norm(np.where(same, 0, keypoints - others), axis=-1)
    # A joint that only one of them has is as far as can be.
    distance = np.nan_to_num(distance, nan=np.inf)
    return Difference(float(distance.mean()), float(np.median(distance)), float(distance.max()))


def compare(engine: Engine, reference: Engine, crops: Crops) -> Difference:
    """On crops together, and on the first alone: a graph takes any batch."""
    wanted, _ = reference(crops)
    got, _ = engine(crops)
    alone, _ = engine(crops[:1])
    wanted = np.concatenate([wanted, wanted[:1]])
    return difference(np.concatenate([got, alone]), wanted)


def print_accuracy(
    engines: Mapping[str, Engine],
    card: ModelCard,
    annotations: Path,
    images: Path | None,
    console: Console,
) -> None:
    """A table of the engines' accuracy on annotated pictures, and how far they are from the first.

    ``card`` has the recipe by whose rules the persons are read and scored.
    """
    rule = rules_of_card(card, {})
    data, truth, no_ap = read_evaluation(card, 1, annotations, console, rule, images=images)
    check_evaluation(data, card.skeleton, truth, None)
    found = _predictions(engines, make_loader(data, 16, 1))
    table = Table(
        title=f"{len(data)} persons of {annotations.name}: accuracy in percent, and how far the "
        "joints are from PyTorch's, in pixels of the crop"
    )
    table.add_column("", no_wrap=True)
    columns = ["PCK@0.2", "PCK@0.5", "AUC", *(["AP"] if truth else [])]
    for column in (*columns, "mean", "median", "largest"):
        table.add_column(column, justify="right", no_wrap=True)
    rules = ApRules(rule["score"], nms=rule["nms"], nms_threshold=rule["nms_threshold"])
    first = next(iter(found.values()))[0]
    for name, (keypoints, predictions) in found.items():
        report = score(predictions, data.persons, card.skeleton, truth=truth, ap_rules=rules)
        pck = report.pck
        shares: list[float | None] = [None] * 3
        if pck is not None:
            shares = [pck.at_02, pck.at_05, pck.auc]
        shares += [report.coco.get("AP")] if truth else []
        apart = difference(keypoints, first)
        table.add_row(
            name,
            *("-" if share is None else f"{100 * share:.1f}" for share in shares),
            *(f"{pixels:.4f}" for pixels in apart),
        )
    console.print(table)
    for reason in no_ap:
        console.print(reason, highlight=False, markup=False)


def _predictions(
    engines: Mapping[str, Engine], loader: Any
) -> dict[str, tuple[Array, Predictions]]:
    """Keypoints in pixels of the crops and of the pictures, by engine."""
    rows: dict[str, list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = {
        name: [] for name in engines
    }
    matrices, sizes = [], []
    for batch in read_batches(loader):
        crops = np.ascontiguousarray(batch["image"].numpy().transpose(0, 2, 3, 1))
        matrices.append(batch["to_image"].numpy())
        sizes.append(batch["size"].numpy())
        for name, engine in engines.items():
            rows[name].append(engine(crops))
    to_image = np.concatenate(matrices)[:, None]
    found = {}
    for name, parts in rows.items():
        keypoints, confidence = (np.concatenate(part) for part in zip(*parts, strict=True))
        points = transform_points(keypoints, to_image)
        found[name] = keypoints, Predictions(points, confidence, np.concatenate(sizes))
    return found
