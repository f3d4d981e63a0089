"""``hhd eval``: a model file's accuracy on annotated pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pycocotools.coco import COCO
from rich.console import Console

from hhd.checks import check_finite, check_positive
from hhd.console import say
from hhd.data.coco import read_coco
from hhd.data.dataset import CropDataset
from hhd.data.mpii import read_mpii_truth
from hhd.data.read import is_mpii, picture_folder, read_annotations
from hhd.data.skeleton import Skeleton
from hhd.evaluation.coco_ap import ApRules, read_truth
from hhd.evaluation.decode import Decoder
from hhd.evaluation.report import Report, check_evaluation, evaluate
from hhd.models.files import ModelCard, load_model
from hhd.train.devices import choose_device
from hhd.train.recipe import Recipe


def evaluate_file(
    model_file: Path,
    annotations: Path,
    console: Console,
    *,
    images: Path | None = None,
    detections: Path | None = None,
    mpii_truth: Path | None = None,
    coco_ap: bool = True,
    decoding: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None,
    batch_size: int = 32,
    workers: int = 1,
    device: str = "auto",
) -> tuple[Report, Skeleton]:
    """The accuracy, and the joints it is of.

    ``decoding`` replaces fields of the model's card, ``rules`` those of its run's recipe, by which
    it is evaluated otherwise. Where COCO's AP cannot be, the report says why, and holds PCK.
    """
    model, card = load_model(model_file)
    card = replace(card, **decoding_fields(card, decoding or {}))
    rule = rules_of_card(card, rules or {})
    device_of = choose_device(device)
    data, truth, no_ap = read_evaluation(
        card,
        model.stride,
        annotations,
        console,
        rule,
        images=images,
        detections=detections,
        coco_ap=coco_ap,
    )
    heads = None if mpii_truth is None else read_mpii_truth(mpii_truth)
    check_evaluation(data, card.skeleton, truth, heads)
    report = evaluate(
        model.to(device_of),
        Decoder(card),
        data,
        batch_size=batch_size,
        workers=workers,
        device=device_of,
        truth=truth,
        ap_rules=ApRules(rule["score"], nms=rule["nms"], nms_threshold=rule["nms_threshold"]),
        mpii_truth=heads,
    )
    return replace(report, undefined=(*report.undefined, *no_ap)), card.skeleton


def rules_of_card(card: ModelCard, given: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's fields of how to evaluate: ``given`` ones, the run's own, or the usual."""
    rule = {**Recipe().as_dict(), **(card.recipe or {}), **given}
    check_positive("nms_threshold", rule["nms_threshold"])
    check_finite("detection_threshold", rule["detection_threshold"])
    return rule


def read_evaluation(
    card: ModelCard,
    stride: int,
    annotations: Path,
    console: Console,
    rule: Mapping[str, Any],
    *,
    images: Path | None = None,
    detections: Path | None = None,
    coco_ap: bool = True,
) -> tuple[CropDataset, COCO | None, tuple[str, ...]]:
    """The persons' crops, COCO's truth if AP can be, and sentences on why it cannot."""
    reading = read_annotations(
        annotations,
        picture_folder(annotations, images),
        card.skeleton,
        boxes=rule["boxes"],
        category=rule["category"],
        outside=rule["images_outside"],
        detections=detections,
        detection_category=rule["detection_category"],
        score_threshold=rule["detection_threshold"],
    )
    data = CropDataset(
        reading.require(),
        card.skeleton,
        input_size=card.input_size,
        stride=stride,
        padding=card.padding,
        affine=card.affine,
    )
    say(console, reading.left_out_text())
    truth: COCO | None = None
    no_ap: tuple[str, ...] = ()
    if coco_ap and not is_mpii(annotations):
        truth, no_ap = _truth(annotations, card.skeleton, rule, needed=detections is not None)
    return data, truth, no_ap


def decoding_fields(card: ModelCard, given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` fields of a card, and what follows of them: a student that is to be read locally
    averages the mirrored maps, coordinates of which cost it accuracy."""
    fields = dict(given)
    local = fields.get("decode_window", card.decode_window) is not None
    if "decode_window" in fields and local and card.flip_test == "coordinates":
        fields.setdefault("flip_test", "heatmaps")
    return fields


def _truth(
    annotations: Path, skeleton: Skeleton, rule: Mapping[str, Any], *, needed: bool
) -> tuple[COCO | None, tuple[str, ...]]:
    """What AP is measured against, or why there is none."""
    file = read_coco(annotations, skeleton, rule["category"])
    try:
        return read_truth(file, "box" if rule["area_of_box"] else "refuse"), ()
    except ValueError as error:
        if needed:
            raise
        return None, (f"no COCO AP: {error}",)
