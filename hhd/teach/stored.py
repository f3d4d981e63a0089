"""Stored targets in training: what the data loader reads of them, and the teacher made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import hhd_kernels as hk
from hhd.data.affine import Array
from hhd.data.person import Person
from hhd.data.skeleton import Skeleton
from hhd.teach.canonical import Stored, mean_width, targets_in_view, view_of
from hhd.teach.store import TargetStore, key_of
from hhd.text import shown
from hhd_kernels.teacher_targets import TargetOptions

# Of a joint by which the teacher's width is measured.
CONFIDENT = 0.5
# Before the name of a batch's field that a store gave.
FIELD = "stored_"


class CanonicalTargets:
    """Patches, drawn in whatever view; see :mod:`hhd.teach.canonical`.

    ``partly``: a person who is not in the store is taught nothing by it.
    """

    def __init__(self, store: TargetStore, skeleton: Skeleton, partly: bool) -> None:
        self.store, self.partly = store, partly
        self.flip_order = skeleton.flip_order()
        self.nobody: dict[str, NDArray[Any]] | None = None

    def item(self, person: Person, to_cells: Array, flip: bool, view: int) -> dict[str, Any]:
        """The batch's fields, see :func:`hhd.teach.canonical.view_of`."""
        if self.partly and key_of(person) not in self.store.index:
            record = self._nothing()
        else:
            record = self.store.read(person)
        item = view_of(record, to_cells, self.flip_order if flip else None)
        return {FIELD + name: value for name, value in item.items()}

    def check_covers(self, persons: Sequence[Person]) -> None:
        """``ValueError`` names a person whom neither a target nor a label teaches."""
        if self.partly:
            persons = [person for person in persons if not (person.keypoints[:, 2] > 0).any()]
        self.store.check_covers(persons)

    def _nothing(self) -> dict[str, NDArray[Any]]:
        if self.nobody is None:
            first = next(self.store.shards())
            self.nobody = {name: np.zeros_like(array[0]) for name, array in first.items()}
            self.nobody["to_cells"] = np.eye(2, 3)
        return self.nobody


class ViewTargets:
    """Targets of the very views that training shows, [views, K, ...] for each person."""

    def __init__(self, store: TargetStore) -> None:
        self.store = store

    def check_covers(self, persons: Sequence[Person]) -> None:
        """``ValueError`` unless every person has a record."""
        self.store.check_covers(persons)

    def item(self, person: Person, to_cells: Array, flip: bool, view: int) -> dict[str, Any]:
        """The batch's fields: centers, windows and confidence of the view."""
        record = self.store.read(person)
        return {FIELD + name: value[view] for name, value in record.items()}


def open_targets(store: TargetStore, skeleton: Skeleton) -> TargetStore:
    """The store, if it holds canonical targets of the joints of ``skeleton``."""
    settings, folder = store.settings, store.folder
    if settings.get("joints") != list(skeleton.joints):
        raise ValueError(
            f"targets {folder} are of the joints {shown(settings.get('joints'))}; skeleton "
            f"{skeleton.name} has {shown(list(skeleton.joints))}"
        )
    if settings.get("form") != "canonical":
        raise ValueError(
            f"targets {folder} are of the form {shown(settings.get('form'))}; this takes canonical"
        )
    if not len(store):
        raise ValueError(f"targets {folder} are empty: hhd teach has not finished a shard of them")
    return store


def teacher_width(store: TargetStore) -> float:
    """How wide the teacher's confident answers are: their mean sigma in the teacher's cells."""
    total, joints = 0.0, 0
    for records in store.shards():
        widths, number = mean_width(records, CONFIDENT)
        total, joints = total + widths, joints + number
    if not joints:
        raise ValueError(
            f"targets {store.folder} have no joint of confidence {CONFIDENT} to measure the "
            "teacher's width by: leave teacher_sigma out"
        )
    return total / joints


def targets_of_batch(
    batch: dict[str, Tensor], size: tuple[int, int], options: TargetOptions, zoom: float
) -> hk.TeacherTargets:
    """The targets of a batch whose items :class:`CanonicalTargets` gave."""
    stored = Stored(*(batch[FIELD + name] for name in Stored._fields))
    return targets_in_view(stored, size, options, zoom)


def targets_of_views(batch: dict[str, Tensor]) -> hk.TeacherTargets:
    """The targets of a batch whose items :class:`ViewTargets` gave."""
    centers, windows, confidence = (
        batch[FIELD + name].float() for name in ("centers", "windows", "confidence")
    )
    return hk.TeacherTargets(centers, windows, confidence)


def joined(
    labels: hk.TeacherTargets, stored: hk.TeacherTargets, labelled: Tensor
) -> hk.TeacherTargets:
    """``labels`` where ``labelled`` [B, K], ``stored`` elsewhere."""
    by_label = (labelled > 0)[..., None]
    return hk.TeacherTargets(
        torch.where(by_label, labels.centers, stored.centers),
        torch.where(by_label[..., None], labels.windows, stored.windows),
        torch.where(by_label[..., 0], labels.confidence, stored.confidence),
    )


def zoom_of(
    settings: dict[str, Any], size: tuple[int, int], sigma: float | None, store: TargetStore
) -> float:
    """The student's heatmap pixels per cell of the teacher, for maps of ``size`` = (W, H).

    Where both maps cover the same crop, or, given ``sigma``, where the teacher's answers get that
    width.
    """
    if sigma is not None:
        return sigma / teacher_width(store)
    return size[0] / settings["map_size"][0]
