"""The rows of the study: what each changes of ``base.yaml``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
FROZEN = HERE / "frozen.yaml"

NO_TEACHER = {"loss": "none", "teacher": None, "window": None, "hhd_weight": None}
HEATMAP = {**NO_TEACHER, "task": "heatmap", "decode": "whole"}
INTEGRAL = {**NO_TEACHER, "decode": "whole"}
DSNT = {**NO_TEACHER, "loss": "js"}
FULL_MAP = {"loss": "kd_kl", "window": None}
PUBLISHED = {"loss": "published", "window": None, "hhd_weight": None}


LOSSES: dict[str, dict[str, Any]] = {
    "heatmap": HEATMAP,
    "integral": INTEGRAL,
    "ipr": {**INTEGRAL, "coordinate_loss": "smooth_l1", "beta": 1},
    "dsnt": DSNT,
    "dsnt beta 1": {**DSNT, "beta": 1},
    "full-map kl": FULL_MAP,
    "kl": {},
    "published": PUBLISHED,
}
DSNT_X10 = {**DSNT, "hhd_weight": 10.0}


@dataclass(frozen=True)
class Row:
    """A run of the study but for its seed.

    ``train`` is a file of the split; ``further`` are files beside it, each with its crops a step;
    ``targets`` is a folder of targets and ``weights`` a row whose weights it starts from.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    train: str = "train"
    further: Mapping[str, int] = field(default_factory=dict)
    targets: str | None = None
    weights: str | None = None
    test: str = "dev"
    seeds: tuple[int, ...] = (0,)


def rows_of(stage: str) -> list[Row]:
    """The stage's rows, the most wanted first."""
    return STAGES[stage]()


def frozen() -> dict[str, Any]:
    """The choices that the screening led to."""
    content: dict[str, Any] = yaml.safe_load(FROZEN.read_text())
    return content


def screening() -> list[Row]:
    """One seed, dev: losses and starts, then one change at a time of our own loss."""
    starts = [
        Row(f"{name}, default start", {**changes, "start": "default"})
        for name, changes in LOSSES.items()
    ]
    random = {"start": "default"}
    changed = {
        "default start, beta 1": {**random, "beta": 1},
        "default start, clipped": {**random, "clip_norm": 1.0},
        "weight 1": {"hhd_weight": 1},
        "weight 30": {"hhd_weight": 30},
        "beta 1": {"beta": 1},
        "beta 3": {"beta": 3},
        "beta 30": {"beta": 30},
        "sigma 1": {"sigma": 1.0},
        "sigma 2": {"sigma": 2.0, "window": 9},
        "sigma 2.5": {"sigma": 2.5, "window": 11},
        "window 5": {"window": 5},
        "window 11": {"window": 11},
        "rotation 30": {"rotation_factor": 30},
        "rotation 90": {"rotation_factor": 90},
        "rotation 180": {"rotation_factor": 180},
        "rotation 90, all": {"rotation_factor": 90, "rotation_probability": 1.0},
        "scale .4": {"scale_factor": 0.4},
        "half body": {"half_body_probability": 0.3},
        "colour": {"transform": "hhd.data.transforms.colour_and_cutout"},
        "lr 1e-3": {"lr": 0.001},
        "lr 4e-3": {"lr": 0.004},
        "lr 8e-3": {"lr": 0.008},
        "batch 64, lr 4e-3": {"batch_size": 64, "lr": 0.004},
        "weight decay .1": {"weight_decay": 0.1},
        "no ema": {"ema": 0.0},
        "ema .998": {"ema": 0.998},
        "coordinates x0": {"coordinate_weight": 0.0},
        "coordinates x10": {"coordinate_weight": 10.0},
        "debiased": {"locate": "debiased"},
        "debiased, bilinear": {"locate": "debiased", "sampling": "bilinear"},
        "bilinear": {"sampling": "bilinear"},
        "128": {"input_size": [128, 128], "sigma": 2.0, "window": 9},
        "large": {"model": "lite0_student_large"},
    }
    single = [Row(f"kl, {name}", changes) for name, changes in changed.items()]
    published = [
        Row("published, x10", {**PUBLISHED, "hhd_weight": 5.0}),
        Row("published, debiased", {**PUBLISHED, "locate": "debiased"}),
        Row("heatmap, msra", {**HEATMAP, "target": "msra"}),
    ]
    plain = [Row(name, changes) for name, changes in LOSSES.items()]
    return [*plain, *starts, *single, *published]


RATES = {
    "heatmap": ("heatmap", "heatmap, lr 4e-3", "heatmap, lr 8e-3"),
    "kl": ("kl, lr 1e-3", "kl", "kl, lr 4e-3", "kl, lr 8e-3", "kl, lr 1.6e-2"),
    "published": ("published", "published, lr 4e-3", "published, lr 8e-3"),
    "dsnt": ("dsnt x10", "dsnt x10, lr 8e-3"),
    "integral": ("integral", "integral, lr 8e-3"),
}
"""Rows by loss whose learning rates are compared; the full map's and debiased take kl's."""


def rates() -> list[Row]:
    """One seed, dev: each loss's own learning rate, beside what the screening has."""
    losses = {**LOSSES, "dsnt x10": DSNT_X10}
    known = {row.name: row.changes for row in screening()}
    values = {"": 0.002, "4e-3": 0.004, "8e-3": 0.008, "1.6e-2": 0.016}
    rows = []
    for name in (name for names in RATES.values() for name in names if name not in known):
        loss, _, rate = name.partition(", lr ")
        rows.append(Row(name, {**losses[loss], "lr": values[rate]}))
    return rows


UNLABELLED = "unlabelled"
EXTRA = 32
"""Crops a step without labels, beside those with."""
GATE = {"teacher_gate": 0.5, "teacher_sigma": 1.5}


def few_labels(share: str, name: str, changes: Mapping[str, Any], **more: Any) -> Row:
    """A tenth or a third of the labels, with the rest of the pictures if something teaches them:
    as many steps of as many labelled crops as all labels take in 30 epochs."""
    epochs = {"10": 150, "30": 49}[share]
    taught = more.get("targets") is not None
    further = {f"hidden_{share}": EXTRA // 2, UNLABELLED: EXTRA // 2} if taught else {}
    return Row(
        f"{share} % labels, {name}",
        {"batch_size": 16, "epochs": epochs, **changes},
        train=f"labelled_{share}",
        further=further,
        **more,
    )


SHORT = {"epochs": 50}
HALF = {"epochs": 25}


def teacher_screening() -> list[Row]:
    """One seed, dev, a tenth of the labels, a third of the final steps: how a teacher is used."""
    plain = {"teacher_sigma": 1.5}
    points = {"teacher_shape": "gaussian"}
    ways: dict[str, dict[str, Any]] = {
        "gate .5": GATE,
        "gate .3": {**plain, "teacher_gate": 0.3},
        "gate 0": plain,
        "gate .7": {**plain, "teacher_gate": 0.7},
        "narrow": {"teacher_gate": 0.5},
        "coordinates": {**GATE, **points},
        "window 15": {**GATE, "window": 15},
    }
    labels_first = few_labels("10", "screened, none, half", HALF)
    return [
        few_labels("10", "screened, none", SHORT),
        labels_first,
        few_labels(
            "10",
            "screened, labels first",
            {**HALF, **GATE},
            targets="heavy",
            weights=labels_first.name,
        ),
        *(
            few_labels("10", f"screened, {name}", {**SHORT, **changes}, targets="heavy")
            for name, changes in ways.items()
        ),
    ]


def scouts() -> list[Row]:
    """One seed, dev: what a long schedule, a larger student and a larger input bring together."""
    large = {"model": "lite0_student_large", "epochs": 60, "ema": 0.998, **GATE}
    at_128 = {**large, "input_size": [128, 128], "sigma": 2.0, "window": 9, "teacher_sigma": 2.0}
    colour = {"transform": "hhd.data.transforms.colour_and_cutout"}
    more: dict[str, Any] = {"further": {UNLABELLED: EXTRA}, "targets": "heavy"}
    return [
        Row("scout 128", at_128, **more),
        Row("scout 128, colour", {**at_128, **colour}, **more),
        Row("scout 128, labels alone", {k: v for k, v in at_128.items() if k not in GATE}),
        Row("scout 96", large, **more),
    ]


def ours() -> list[Row]:
    """Our own teachers: a larger heatmap network at a larger input, of the same labels."""
    large = {**HEATMAP, "model": "lite0_teacher", "input_size": [128, 128], "sigma": 2.0}
    return [
        Row("teacher, all labels", {**large, "epochs": 20}),
        Row("teacher, 10 % labels", {**large, "epochs": 150, "batch_size": 16}, "labelled_10"),
    ]


@dataclass(frozen=True)
class Deleted:
    """A row of an option that is gone: what it was, where it ran, and the row without it."""

    row: str
    option: str
    commit: str
    beside: str


DELETED = (
    Deleted("kl, zeros", "windows that hold 0 beyond the map", "ab7c943", "kl"),
    Deleted("kl, skip", "joints left out whose window leaves the map", "54d4f2e", "kl"),
    Deleted(
        "kl, coordinates in the window",
        "the coordinate loss of a local expectation",
        "a5632b8",
        "kl",
    ),
    Deleted(
        "10 % labels, screened, weighed",
        "joints weighed by the teacher's confidence, instead of a gate",
        "6f861a6",
        "10 % labels, screened, gate .5",
    ),
)
"""Their results stay as evidence; what they need is in the commit alone."""

SEEDS = (0, 1, 2)
MORE_SEEDS = (*SEEDS, 3, 4)
PAIR = (0, 1)


def confirmation() -> list[Row]:
    """Three seeds and more, val: the losses, all labels, at the frozen settings."""
    settings = frozen()
    losses: dict[str, dict[str, Any]] = {
        "heatmap": HEATMAP,
        "kl": {},
        "integral": INTEGRAL,
        "dsnt": DSNT_X10,
        "full-map kl": FULL_MAP,
        "published": PUBLISHED,
        "debiased": {"locate": "debiased"},
    }
    return [
        Row(
            f"final {name}",
            {**settings["shared"], **changes, **settings.get(name, {})},
            test="val",
            seeds=MORE_SEEDS if name == "heatmap" else SEEDS,
        )
        for name, changes in losses.items()
    ]


def worth() -> list[Row]:
    """Val: what a teacher is worth with all labels (a), with all labels and more pictures (b), with
    a tenth or a third of the labels (c) and with none (d)."""
    settings = frozen()
    shared, use = settings["shared"], settings["teacher"]
    points = {**use, "teacher_shape": "gaussian"}

    def with_more(name: str, changes: Mapping[str, Any], targets: str, seeds: Any) -> Row:
        return Row(
            name,
            {**shared, **changes},
            further={UNLABELLED: EXTRA},
            targets=targets,
            test="val",
            seeds=seeds,
        )

    def few(share: str, name: str, changes: Mapping[str, Any], seeds: Any, targets: Any) -> Row:
        changes = {**shared, "epochs": settings["epochs"][share], **changes}
        return few_labels(share, name, changes, targets=targets, test="val", seeds=seeds)

    own = {"teacher_gate": 0.2}
    # Our networks' peaks are lower: so the mean teaches as many joints as heavy does from .5 on.
    mean = {**use, "teacher_gate": 0.3}
    twice = {"epochs": 2 * shared["epochs"]}
    free = {"labels": "ignored", "teacher": None}
    return [
        with_more("b, heavy's maps", use, "heavy", MORE_SEEDS),
        few("10", "none", {}, SEEDS, None),
        few("10", "heavy's maps", use, SEEDS, "heavy"),
        few("10", "heavy's coordinates", points, SEEDS, "heavy"),
        with_more("b, heavy's coordinates", points, "heavy", SEEDS),
        few("30", "none", {}, PAIR, None),
        few("30", "heavy's maps", use, PAIR, "heavy"),
        Row(
            "a, heavy's maps",
            {**shared, **use, "teacher": None},
            targets="heavy",
            test="val",
            seeds=PAIR,
        ),
        with_more("d, heavy's maps", {**use, **free}, "heavy", PAIR),
        few("10", "itself", own, PAIR, "itself_10"),
        with_more("d, heavy's coordinates", {**points, **free}, "heavy", PAIR),
        with_more("b, ours", own, "ours", PAIR),
        few("10", "ours", own, PAIR, "ours_10"),
        with_more("b, both", mean, "both", PAIR),
        few("10", "both", mean, PAIR, "both_10"),
        with_more("b, heavy's maps, published", {**use, **PUBLISHED}, "heavy", (0,)),
        # Would as much time on the labels alone serve as well?
        Row("b, none, twice the steps", {**shared, **twice}, test="val"),
        Row(
            "b, heatmap, twice the steps",
            {**shared, **HEATMAP, **settings["heatmap"], **twice},
            test="val",
        ),
        few("10", "none, twice the steps", {"epochs": 2 * settings["epochs"]["10"]}, (0,), None),
    ]


def best() -> list[Row]:
    """One seed: the longest schedules of the large student; dev chooses among them."""
    changes = frozen()["best"]
    at_160 = {"input_size": [160, 160], "sigma": 2.0, "window": 9, "teacher_sigma": 2.0}
    more: dict[str, Any] = {"further": {UNLABELLED: EXTRA}, "targets": "heavy"}
    return [
        Row("best 128", changes, **more),
        Row("best 160", {**changes, **at_160, "epochs": changes["epochs"] * 3 // 4}, **more),
    ]


STAGES = {
    "scout": scouts,
    "screen": screening,
    "rates": rates,
    "teachers": ours,
    "screen-teacher": teacher_screening,
    "best": best,
    "confirm": confirmation,
    "worth": worth,
}
