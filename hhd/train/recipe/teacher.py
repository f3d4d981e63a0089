"""Where the teacher comes from and what of it is taught."""

from dataclasses import dataclass
from typing import Literal

from hhd.checks import check_from_zero, check_positive
from hhd.models.build import check_model_name


@dataclass(frozen=True)
class TeacherFields:
    """Where the teacher comes from and what of it is taught."""

    teacher: str | None = None
    """model.safetensors of a heatmap network, or labels (Gaussians at the labels)."""
    teacher_model: str | None = None
    """Network of a teacher that is another's checkpoint (HRNet, mmpose), trained on input_size."""
    targets: str | None = None
    """Folder of targets that hhd teach has stored. With ``teacher: labels`` they teach what has no
    label, without a teacher everything."""
    teacher_maps: str | None = None
    """Instead: an array of maps [N, k, h, w] (.npy) of the unaugmented training crops."""
    teacher_ids: str | None = None
    """Annotation ids of teacher_maps, JSON list or .npz with ids (default: beside it, .json)."""
    teacher_activation: Literal["none", "sigmoid"] = "none"
    """What turns the values of teacher_maps into heatmaps."""
    teacher_grid: Literal["stride", "half_pixel", "align_corners"] = "stride"
    """Which input pixel a cell of teacher_maps stands for."""
    teacher_joint_map: tuple[int, ...] | None = None
    """For each joint the teacher's channel, -1 for none (default: the same joints)."""
    teacher_gate: float = 0.0
    """Joints whose teacher map peaks below this are not distilled."""
    teacher_reach: float = 0.0
    """Labelled joints whose teacher lies farther than this from the label, in sigmas, are not
    distilled; 0 is no limit."""
    teacher_sigma: float | None = None
    """Draw stored targets at this width, in heatmap pixels (default: as wide as the teacher's
    heatmap has them where both cover the same crop)."""
    teacher_shape: Literal["map", "gaussian"] = "map"
    """What stored targets teach: the teacher's map, or a Gaussian of ``sigma`` at its joint, as a
    label would."""
    teacher_floor: float = 0.0
    """Values of a teacher map below this share of its peak count as 0: what squared error leaves in
    the background would otherwise be taught as spread."""

    def check(self) -> None:
        check_from_zero("teacher_gate", self.teacher_gate)
        check_from_zero("teacher_reach", self.teacher_reach)
        if self.teacher_sigma is not None:
            check_positive("teacher_sigma", self.teacher_sigma)
            if self.targets is None:
                raise ValueError("teacher_sigma is given, but no targets: it is the stored ones'")
        if self.teacher_shape == "gaussian" and self.targets is None:
            raise ValueError(
                "teacher_shape is gaussian, but no targets are given: it is the stored ones'"
            )
        if not 0 <= self.teacher_floor < 1:
            raise ValueError(
                f"teacher_floor is {self.teacher_floor}; it takes a share from 0 below 1"
            )
        if self.teacher_maps is not None and (self.teacher or self.targets):
            other = "teacher" if self.teacher else "targets"
            raise ValueError(f"{other} and teacher_maps are both given; it takes one of them")
        if self.targets is not None and self.teacher not in (None, "labels"):
            raise ValueError(
                f"targets are given, and teacher is {self.teacher}; beside targets it takes labels"
            )
        if self.teacher_model is not None:
            check_model_name(self.teacher_model)
            if self.teacher in (None, "labels"):
                raise ValueError(
                    f"teacher_model is {self.teacher_model}, but teacher is no checkpoint"
                )

    def teaches(self) -> bool:
        """Whether a teacher is named, of any kind."""
        return any(name is not None for name in (self.teacher, self.teacher_maps, self.targets))
