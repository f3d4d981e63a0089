"""Evaluate a network on a data set; tables for the terminal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table

from hhd.data.dataset import CropDataset, make_loader
from hhd.data.mpii import MpiiTruth
from hhd.data.skeleton import Skeleton
from hhd.evaluation.coco_ap import PUBLISHED_RULES, ApRules, coco_ap, detections, read_truth
from hhd.evaluation.decode import Decoder, Predictions, predict
from hhd.evaluation.pck import Pck, pck
from hhd.evaluation.pckh import Pckh, pckh
from hhd.models.base import PoseModel


@dataclass(frozen=True)
class Report:
    """Accuracy on one data set.

    ``pck`` is None for detected boxes, which have no labels of their own; ``coco`` and ``mpii`` are
    empty where they were not asked for.
    """

    pck: Pck | None
    coco: dict[str, float]
    predictions: Predictions
    mpii: tuple[Pckh, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The numbers alone, for JSON."""
        named = {name: value for score in self.mpii for name, value in score.named().items()}
        return {
            "pck": None if self.pck is None else asdict(self.pck),
            "coco": self.coco,
            **({"mpii": named} if named else {}),
        }

    def summary(self) -> str:
        """The headline numbers in a line."""
        parts = []
        if self.pck is not None:
            parts += [f"PCK@0.2 {100 * self.pck.at_02:.1f}", f"PCK@0.5 {100 * self.pck.at_05:.1f}"]
            parts += [f"AUC {100 * self.pck.auc:.1f}"]
        parts += [f"AP {100 * self.coco['AP']:.1f}"] if self.coco else []
        parts += [f"PCKh ({score.convention}) {score.mean:.1f}" for score in self.mpii]
        return "  ".join(parts)


def check_evaluation(
    dataset: CropDataset,
    coco_annotations: Path | None,
    missing_area: Literal["refuse", "box"],
    mpii_truth: MpiiTruth | None,
) -> None:
    """``ValueError`` where :func:`evaluate` would fail after the last prediction."""
    labelled = any((person.keypoints[:, 2] > 0).any() for person in dataset.persons)
    if not labelled and coco_annotations is None and mpii_truth is None:
        raise ValueError("no person has a labelled joint, so there is nothing to evaluate")
    if coco_annotations is not None:
        read_truth(coco_annotations, missing_area)
    if mpii_truth is not None:
        wanted = (len(dataset.persons), *dataset.persons[0].keypoints[:, :2].shape)
        if mpii_truth.coords.shape != wanted:
            raise ValueError(
                f"mpii_truth has coords of shape {mpii_truth.coords.shape}; "
                f"the persons to evaluate on make {wanted}"
            )


def evaluate(
    model: PoseModel,
    decoder: Decoder,
    dataset: CropDataset,
    *,
    batch_size: int,
    workers: int,
    device: torch.device,
    coco_annotations: Path | None = None,
    ap_rules: ApRules = PUBLISHED_RULES,
    missing_area: Literal["refuse", "box"] = "refuse",
    mpii_truth: MpiiTruth | None = None,
) -> Report:
    """PCK over ``dataset`` (not augmented); COCO AP if the annotation file is given, and PCKh by
    both conventions if MPII's truth is."""
    skeleton = decoder.card.skeleton
    found = predict(model, decoder, make_loader(dataset, batch_size, workers), device)
    persons = dataset.persons
    ap: dict[str, float] = {}
    if coco_annotations is not None:
        results = detections(
            found.coords,
            found.confidence,
            persons,
            sizes=found.sizes,
            skeleton=skeleton,
            rules=ap_rules,
        )
        ap = coco_ap(coco_annotations, results, skeleton, missing_area)
    labelled = any((person.keypoints[:, 2] > 0).any() for person in persons)
    heads: tuple[Pckh, ...] = ()
    if mpii_truth is not None:
        heads = pckh(found.coords, mpii_truth, "hrnet"), pckh(found.coords, mpii_truth, "mmpose")
    score = pck(found.coords, persons, skeleton) if labelled else None
    return Report(score, ap, found, heads)


def print_report(console: Console, report: Report, skeleton: Skeleton) -> None:
    """PCK, PCK by joint, and COCO AP and PCKh if there are any."""
    if report.pck is not None:
        _print_pck(console, report.pck, skeleton)
    if report.coco:
        console.print(
            "COCO  " + "  ".join(f"{name} {_percent(share)}" for name, share in report.coco.items())
        )
    if report.mpii:
        table = Table(title="MPII PCKh in units of .6 head boxes, %")
        table.add_column("joint")
        for heads in report.mpii:
            table.add_column(f"{heads.convention}, {heads.sign()} 0.5", justify="right")
        for part in report.mpii[0].parts:
            table.add_row(part, *(f"{heads.parts[part]:.1f}" for heads in report.mpii))
        table.add_section()
        table.add_row("Mean", *(f"{heads.mean:.1f}" for heads in report.mpii))
        fine = [f"{h.sign()} {h.fine_threshold():.2f}: {h.fine_mean:.1f}" for h in report.mpii]
        table.add_row("Mean @0.1", *fine)
        console.print(table)


def _print_pck(console: Console, score: Pck, skeleton: Skeleton) -> None:
    unit = skeleton.normaliser_name()
    table = Table(title=f"PCK in units of {unit}, {score.joints} joints of {score.persons} persons")
    table.add_column("joint")
    for column in ("PCK@0.2 %", "PCK@0.5 %", "error, pixels"):
        table.add_column(column, justify="right")
    for name, share in score.per_joint.items():
        coarse, error = score.per_joint_05[name], score.epe_per_joint[name]
        table.add_row(name, f"{100 * share:.1f}", f"{100 * coarse:.1f}", f"{error:.1f}")
    table.add_section()
    table.add_row("all", f"{100 * score.at_02:.1f}", f"{100 * score.at_05:.1f}", f"{score.epe:.1f}")
    console.print(table)
    console.print(
        f"PCK@0.2 {100 * score.at_02:.1f}   PCK@0.5 {100 * score.at_05:.1f}   "
        f"AUC {100 * score.auc:.1f}   EPE {score.epe:.1f} pixels"
    )
    if score.without_unit:
        console.print(f"{score.without_unit} persons without a labelled {unit} are not in the PCK")


def _percent(share: float) -> str:
    """COCO's -1 says that no person of that size is annotated."""
    return "-" if share < 0 else f"{100 * share:.1f}"
