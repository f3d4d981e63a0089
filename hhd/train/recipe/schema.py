"""A training run as one flat dataclass: the schema of YAML, overrides and ``--help``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hhd.models.files import check_udp_decoding
from hhd.train.recipe.crops import CropsFields
from hhd.train.recipe.data import DataFields
from hhd.train.recipe.evaluation import EvaluationFields
from hhd.train.recipe.loss import LossFields
from hhd.train.recipe.machine import MachineFields
from hhd.train.recipe.network import NetworkFields
from hhd.train.recipe.optimiser import OptimiserFields
from hhd.train.recipe.teacher import TeacherFields

# What a run may change where it goes on: none of it changes the result.
FREE = {
    "output", "device", "workers", "threads", "checkpoint_every", "log_every", "data_root",
    "tensorboard",
}  # fmt: skip


PARTS = (
    DataFields,
    CropsFields,
    NetworkFields,
    LossFields,
    TeacherFields,
    OptimiserFields,
    EvaluationFields,
    MachineFields,
)


# The fields of the last base come first.
@dataclass(frozen=True)
class Recipe(
    MachineFields,
    EvaluationFields,
    OptimiserFields,
    TeacherFields,
    LossFields,
    NetworkFields,
    CropsFields,
    DataFields,
):
    """Every setting of a training run; sizes are (width, height)."""

    def __post_init__(self) -> None:
        for part in PARTS:
            part.check(self)
        self._check_geometry()
        self._check_teacher()
        if self.val_detections is not None and not self.coco_ap:
            raise ValueError(
                "val_detections is given, but coco_ap is false; detected boxes have no labels, "
                "so there is nothing to evaluate"
            )

    def _check_geometry(self) -> None:
        if self.task == "heatmap":
            if (self.affine == "udp") != (self.target == "udp"):
                raise ValueError(
                    f"affine is {self.affine} and target is {self.target}; udp goes with udp"
                )
            check_udp_decoding(self.affine, self.heatmap_decode)
        if self.affine == "udp" and self.teacher_maps is not None:
            raise ValueError("affine is udp, but teacher_maps lie on the standard grid")

    def _check_teacher(self) -> None:
        if self.loss != "none" and self.task == "heatmap":
            raise ValueError(
                f"loss is {self.loss}, but task is heatmap; distillation is for integral students"
            )
        if self.distils() != self.teaches():
            needs = "needs" if self.distils() else "takes no"
            raise ValueError(f"loss is {self.loss}, which {needs} teacher, targets or teacher_maps")
        if self.targets is not None and self.loss not in ("published", "kl"):
            raise ValueError(
                f"targets are given, but loss is {self.loss}; stored targets are windows, which "
                "published and kl take"
            )
        labelless = self.labels != "required" or bool(self.further_annotations)
        if labelless and (
            not self.distils() or (self.teacher == "labels" and self.targets is None)
        ):
            raise ValueError(
                "labels or further_annotations let persons without labels in, but nothing teaches "
                "them: give targets or a teacher, and loss published or kl"
            )

    def data_path(self, name: str) -> Path:
        """A data path; a relative one starts at ``data_root``."""
        return Path(self.data_root) / name

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON, YAML and comparison, with the defaults of the loss filled in."""
        window, hhd_weight = self.distillation()
        values = asdict(self) | {"window": window, "hhd_weight": hhd_weight}
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
        }
