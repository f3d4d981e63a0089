"""Evaluate a network on a data set; tables for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

import numpy as np
import torch
from pycocotools.coco import COCO
from rich.console import Console
from rich.table import Table

from hhd.console import say, show_table
from hhd.data.dataset import CropDataset
from hhd.data.loading import make_loader
from hhd.data.mpii import MpiiTruth
from hhd.data.person import Person
from hhd.data.skeleton import Skeleton
from hhd.evaluation.coco_ap import PUBLISHED_RULES, ApRules, coco_ap, detections
from hhd.evaluation.decode import Decoder, Predictions, predict
from hhd.evaluation.pck import Pck, pck, undefined
from hhd.evaluation.pckh import Pckh, pckh
from hhd.models.base import PoseModel


@dataclass(frozen=True)
class Report:
    """Accuracy on one data set.

    ``pck`` is None for detected boxes, which have no labels of their own, and where nobody has what
    it is measured in; ``coco`` and ``mpii`` are empty where they were not asked for. ``undefined``
    are sentences that say why a number is not there.
    """

    pck: Pck | None
    coco: dict[str, float]
    predictions: Predictions
    mpii: tuple[Pckh, ...] = ()
    undefined: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The numbers alone, for JSON."""
        named = {name: value for score in self.mpii for name, value in score.named().items()}
        return {
            "pck": None if self.pck is None else asdict(self.pck),
            "coco": self.coco,
            "not_finite": self.not_finite,
            **({"mpii": named} if named else {}),
            **({"undefined": list(self.undefined)} if self.undefined else {}),
        }

    @property
    def not_finite(self) -> int:
        """Predicted joints that have no finite place; they count as misses."""
        return int((~np.isfinite(self.predictions.coords).all(axis=-1)).sum())

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
    dataset: CropDataset, skeleton: Skeleton, truth: COCO | None, mpii_truth: MpiiTruth | None
) -> None:
    """``ValueError`` where :func:`evaluate` would fail after the last prediction."""
    if truth is None and mpii_truth is None:
        reason = undefined(dataset.persons, skeleton)
        if reason is not None:
            raise ValueError(f"there is nothing to evaluate: {reason}")
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
    truth: COCO | None = None,
    ap_rules: ApRules = PUBLISHED_RULES,
    mpii_truth: MpiiTruth | None = None,
) -> Report:
    """:func:`score` of a network's predictions over ``dataset``, which is not augmented."""
    found = predict(model, decoder, make_loader(dataset, batch_size, workers), device)
    return score(
        found,
        dataset.persons,
        decoder.card.skeleton,
        truth=truth,
        ap_rules=ap_rules,
        mpii_truth=mpii_truth,
    )


def score(
    found: Predictions,
    persons: Sequence[Person],
    skeleton: Skeleton,
    *,
    truth: COCO | None = None,
    ap_rules: ApRules = PUBLISHED_RULES,
    mpii_truth: MpiiTruth | None = None,
) -> Report:
    """PCK of predictions of ``persons``; COCO AP if its truth is given, and PCKh by both
    conventions if MPII's is."""
    ap: dict[str, float] = {}
    if truth is not None:
        results = detections(
            found.coords,
            found.confidence,
            persons,
            sizes=found.sizes,
            skeleton=skeleton,
            rules=ap_rules,
        )
        ap = coco_ap(truth, results, skeleton)
    heads: tuple[Pckh, ...] = ()
    if mpii_truth is not None:
        heads = pckh(found.coords, mpii_truth, "hrnet"), pckh(found.coords, mpii_truth, "mmpose")
    reason = undefined(persons, skeleton)
    accuracy = pck(found.coords, persons, skeleton) if reason is None else None
    return Report(accuracy, ap, found, heads, () if reason is None else (reason,))


def print_report(console: Console, report: Report, skeleton: Skeleton) -> None:
    """PCK, PCK by joint, and COCO AP and PCKh if there are any."""
    if report.not_finite:
        joints = report.predictions.coords[..., 0].size
        console.print(
            f"{report.not_finite} of {joints} predicted joints are not finite; they count as misses"
        )
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
        show_table(console, table)
    for reason in report.undefined:
        say(console, reason)


def _print_pck(console: Console, score: Pck, skeleton: Skeleton) -> None:
    unit = skeleton.normaliser_name()
    table = Table(title=f"PCK in units of {unit}, {score.joints} joints of {score.persons} persons")
    table.add_column("joint")
    for column in ("PCK@0.2 %", "PCK@0.5 %", "error, pixels"):
        table.add_column(column, justify="right")
    for name, share in score.per_joint.items():
        coarse, error = score.per_joint_05[name], score.epe_per_joint[name]
        table.add_row(name, _percent(share), _percent(coarse), f"{error:.1f}")
    table.add_section()
    table.add_row("all", f"{100 * score.at_02:.1f}", f"{100 * score.at_05:.1f}", f"{score.epe:.1f}")
    show_table(console, table)
    console.print(
        f"PCK@0.2 {100 * score.at_02:.1f}   PCK@0.5 {100 * score.at_05:.1f}   "
        f"AUC {100 * score.auc:.1f}   EPE {score.epe:.1f} pixels"
        + (f" of {score.joints - score.not_finite} finite ones" if score.not_finite else "")
    )
    if score.without_unit:
        console.print(f"{score.without_unit} persons without a labelled {unit} are not in the PCK")


def _percent(share: float) -> str:
    """Not a number where no person of that size is annotated."""
    return "-" if isnan(share) else f"{100 * share:.1f}"
