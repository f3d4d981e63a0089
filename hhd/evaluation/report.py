"""Evaluate a network on a data set; tables for the terminal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from hhd.data.dataset import CropDataset, make_loader
from hhd.data.skeleton import Skeleton
from hhd.evaluation.coco_ap import coco_ap, detections
from hhd.evaluation.decode import Decoder, Predictions, predict
from hhd.evaluation.pck import Pck, pck
from hhd.models.base import PoseModel


@dataclass(frozen=True)
class Report:
    """Accuracy on one data set; ``coco`` is empty where AP was not asked for."""

    pck: Pck
    coco: dict[str, float]
    predictions: Predictions

    def as_dict(self) -> dict[str, Any]:
        """The numbers alone, for JSON."""
        return {"pck": asdict(self.pck), "coco": self.coco}


def evaluate(
    model: PoseModel,
    decoder: Decoder,
    dataset: CropDataset,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    coco_annotations: Path | None = None,
) -> Report:
    """PCK over ``dataset`` (not augmented), and COCO AP if the annotation file is given."""
    skeleton = decoder.card.skeleton
    found = predict(model, decoder, make_loader(dataset, batch_size, workers), device)
    ap: dict[str, float] = {}
    if coco_annotations is not None:
        results = detections(found.coords, found.confidence, dataset.persons)
        ap = coco_ap(coco_annotations, results, skeleton)
    return Report(pck(found.coords, dataset.persons, skeleton), ap, found)


def print_report(console: Console, report: Report, skeleton: Skeleton) -> None:
    """PCK, PCK by joint, and COCO AP if there is one."""
    score = report.pck
    normaliser = " - ".join(skeleton.pck_normaliser)
    table = Table(
        title=f"PCK, torso = {normaliser}, {score.joints} joints of {score.persons} persons"
    )
    for column in ("joint", "PCK@0.2 %"):
        table.add_column(column, justify="left" if column == "joint" else "right")
    for name, share in score.per_joint.items():
        table.add_row(name, f"{100 * share:.1f}")
    table.add_section()
    table.add_row("all", f"{100 * score.at_02:.1f}")
    console.print(table)
    console.print(
        f"PCK@0.2 {100 * score.at_02:.1f}   PCK@0.5 {100 * score.at_05:.1f}   "
        f"AUC {100 * score.auc:.1f}"
    )
    if score.without_torso:
        console.print(f"{score.without_torso} persons without a labelled torso are not in the PCK")
    if report.coco:
        console.print(
            "COCO  " + "  ".join(f"{name} {_percent(share)}" for name, share in report.coco.items())
        )


def _percent(share: float) -> str:
    """COCO's -1 says that no person of that size is annotated."""
    return "-" if share < 0 else f"{100 * share:.1f}"
