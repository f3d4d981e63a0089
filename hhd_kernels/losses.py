"""The losses as modules: options checked once, teacher maps or stored targets on each call."""

from typing import Any, ClassVar

from torch import Tensor, nn

from hhd_kernels import checks, triton
from hhd_kernels.hhd_loss import hhd_options, loss_of
from hhd_kernels.joint_loss import (
    JointInputs,
    JointLoss,
    joint_and_grad_of,
    joint_inputs,
    joint_of,
    joint_options,
)
from hhd_kernels.teacher_targets import TeacherTargets, target_options, targets_of

# The imports above are the files of all ops.
triton.register()

_KL_TEACHERS = ("softmax", "l1_positive")

_KL_V1 = {
    "beta": 10.0,
    "window": (7, 7),
    "normalize": ("softmax", "l1_positive"),
    "divergence": "kl",
    "locate": "peak",
    "refine": "none",
    "blur_kernel": 11,
    "sampling": "nearest",
    "border": "mirror",
    "reduction": "mean",
    "eps": 1e-6,
}
_PUBLISHED_V1 = {
    **_KL_V1,
    "window": (8, 8),
    "normalize": ("l2", "l2"),
    "divergence": "sse",
    "locate": "published",
    "border": "mirror_published",
    "reduction": "official",
}


class _Distillation(nn.Module):
    """What both losses share: the window options, the preset's name and the teacher's side."""

    _presets: ClassVar[dict[str, dict[str, Any]]]

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__()
        student, teacher = _pair(options["normalize"])
        window = checks.window("window", options["window"])
        options = {**options, "window": window, "normalize": (student, teacher)}
        if options["divergence"] == "kl" and teacher not in _KL_TEACHERS:
            raise ValueError(
                f"normalize[1] is {teacher!r}; divergence='kl' takes a teacher that sums to 1,"
                f" one of {', '.join(map(repr, _KL_TEACHERS))}"
            )
        self._options = options
        self._hhd = hhd_options(
            options["beta"],
            student,
            options["divergence"],
            options["locate"],
            options["sampling"],
            options["border"],
            options["reduction"],
            options["eps"],
        )
        self._target = target_options(
            options["window"],
            teacher,
            options["refine"],
            options["sampling"],
            options["border"],
            options["eps"],
            options["blur_kernel"],
        )
        self.preset: str = next(
            (name for name, preset in self._presets.items() if preset == options), "custom"
        )
        """"kl-v1" and "published-v1" name a complete set of options; anything else is "custom"."""

    def targets(self, teacher_maps: Tensor) -> TeacherTargets:
        """What this loss needs of teacher maps, [B, K, H, W]; may be stored and passed instead."""
        checks.maps("teacher_maps", teacher_maps)
        return targets_of(teacher_maps, self._target)

    def _targets_for(self, student: Tensor, teacher: Tensor | TeacherTargets) -> TeacherTargets:
        if not isinstance(teacher, (Tensor, TeacherTargets)):
            raise TypeError(
                f"teacher is a {type(teacher).__name__}; it takes maps as a torch.Tensor, or"
                " TeacherTargets"
            )
        if isinstance(teacher, Tensor):
            checks.maps("student_logits", student)
            checks.like("teacher", teacher, "student_logits", student, *student.shape[2:])
            return targets_of(teacher, self._target)
        if teacher.windows.shape[2:] != self._target[:2]:
            raise ValueError(
                f"teacher.windows has shape {list(teacher.windows.shape)};"
                f" this loss takes windows of {list(self._target[:2])}"
            )
        return teacher

    def extra_repr(self) -> str:
        return ", ".join(
            f"{name}={value!r}" for name, value in {"preset": self.preset, **self._options}.items()
        )


def _pair(normalize: Any) -> tuple[str, str]:
    if not isinstance(normalize, (tuple, list)) or len(normalize) != 2:
        raise ValueError(f"normalize is {normalize!r}; it takes a pair, (student, teacher)")
    return normalize[0], normalize[1]


class HHDLoss(_Distillation):
    """Distil a teacher's heatmaps into a student's, see `hhd_kernels.hhd_loss`.

    The defaults are the preset "kl-v1": KL of the teacher's l1-normalised window, plus a rest bin,
    against softmax(beta S). Decode such a student with `soft_argmax(..., window=9)`.

    Args:
        beta: inverse temperature of the student's softmax.
        window: (rows, columns).
        normalize: (student, teacher), see `normalize`.
        divergence, locate, sampling, border, reduction, eps: see `hhd_loss`.
        refine, blur_kernel: see `locate_teacher`.
        weight: multiplies the loss.
    """

    _presets: ClassVar = {
        "kl-v1": {**_KL_V1, "weight": 1.0},
        "published-v1": {**_PUBLISHED_V1, "beta": 1.0, "weight": 0.5},
    }

    def __init__(
        self,
        beta: float = 10.0,
        *,
        window: tuple[int, int] = (7, 7),
        normalize: tuple[str, str] = ("softmax", "l1_positive"),
        divergence: str = "kl",
        locate: str = "peak",
        refine: str = "none",
        blur_kernel: int = 11,
        sampling: str = "nearest",
        border: str = "mirror",
        reduction: str = "mean",
        weight: float = 1.0,
        eps: float = 1e-6,
    ) -> None:
        super().__init__(
            {
                "beta": beta,
                "window": window,
                "normalize": normalize,
                "divergence": divergence,
                "locate": locate,
                "refine": refine,
                "blur_kernel": blur_kernel,
                "sampling": sampling,
                "border": border,
                "reduction": reduction,
                "eps": eps,
                "weight": weight,
            }
        )
        self._weight = checks.non_negative("weight", weight)

    @classmethod
    def published(
        cls,
        window: tuple[int, int] = (8, 8),
        normalize: tuple[str, str] = ("l2", "l2"),
        *,
        beta: float = 1.0,
        weight: float = 0.5,
        border: str = "mirror_published",
    ) -> "HHDLoss":
        """The official loss, value for value (its CropbiasLoss): squares, sum / B x 0.5."""
        return cls(
            beta,
            window=window,
            normalize=normalize,
            divergence="sse",
            locate="published",
            border=border,
            reduction="official",
            weight=weight,
        )

    def forward(
        self,
        student_logits: Tensor,
        teacher: Tensor | TeacherTargets,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The loss of logits [B, K, H, W] and teacher maps of that shape, or their targets.

        `weight` is per joint, [B, K]; it selects, see `hhd_kernels.hhd_loss`.
        """
        targets = self._targets_for(student_logits, teacher)
        return loss_of(student_logits, targets, weight, self._hhd, self._weight)


class IntegralHHDLoss(_Distillation):
    """Teach an integral (soft-argmax) student by labels and a heatmap teacher at once.

    See `hhd_kernels.joint_loss`. The defaults are the preset "kl-v1".

    Args:
        beta: inverse temperature of the student's softmax.
        coordinate_loss, coordinate_unit, transition: see `joint_loss`.
        coordinate_weight, hhd_weight: of the two terms in `.loss`.
        window: (rows, columns).
        normalize: (student, teacher), see `normalize`.
        divergence, locate, sampling, border, reduction, eps: see `hhd_loss`.
        refine, blur_kernel: see `locate_teacher`.
    """

    _presets: ClassVar = {
        "kl-v1": {
            **_KL_V1,
            "coordinate_loss": "l1",
            "coordinate_unit": 2.0,
            "transition": 1.0,
            "coordinate_weight": 1.0,
            "hhd_weight": 1.0,
        },
        "published-v1": {
            **_PUBLISHED_V1,
            "coordinate_loss": "smooth_l1",
            "coordinate_unit": "map",
            "transition": 1.0,
            "coordinate_weight": 1.0,
            "hhd_weight": 0.5,
        },
    }

    def __init__(
        self,
        beta: float = 10.0,
        coordinate_loss: str = "l1",
        *,
        coordinate_unit: float | str = 2.0,
        transition: float = 1.0,
        coordinate_weight: float = 1.0,
        hhd_weight: float = 1.0,
        window: tuple[int, int] = (7, 7),
        normalize: tuple[str, str] = ("softmax", "l1_positive"),
        divergence: str = "kl",
        locate: str = "peak",
        refine: str = "none",
        blur_kernel: int = 11,
        sampling: str = "nearest",
        border: str = "mirror",
        reduction: str = "mean",
        eps: float = 1e-6,
    ) -> None:
        super().__init__(
            {
                "beta": beta,
                "window": window,
                "normalize": normalize,
                "divergence": divergence,
                "locate": locate,
                "refine": refine,
                "blur_kernel": blur_kernel,
                "sampling": sampling,
                "border": border,
                "reduction": reduction,
                "eps": eps,
                "coordinate_loss": coordinate_loss,
                "coordinate_unit": coordinate_unit,
                "transition": transition,
                "coordinate_weight": coordinate_weight,
                "hhd_weight": hhd_weight,
            }
        )
        self._joint = joint_options(
            coordinate_loss, coordinate_unit, transition, coordinate_weight, hhd_weight
        )

    @classmethod
    def published(
        cls,
        beta: float = 10.0,
        window: tuple[int, int] = (8, 8),
        normalize: tuple[str, str] = ("l2", "l2"),
        *,
        coordinate_weight: float = 1.0,
        hhd_weight: float = 0.5,
    ) -> "IntegralHHDLoss":
        """The official recipe: SmoothL1 of the coordinates in units of the map, plus its loss."""
        return cls(
            beta,
            "smooth_l1",
            coordinate_unit="map",
            coordinate_weight=coordinate_weight,
            hhd_weight=hhd_weight,
            window=window,
            normalize=normalize,
            divergence="sse",
            locate="published",
            border="mirror_published",
            reduction="official",
        )

    def forward(
        self,
        student_logits: Tensor,
        teacher: Tensor | TeacherTargets,
        target_coords: Tensor | None = None,
        weight: Tensor | None = None,
        teacher_weight: Tensor | None = None,
    ) -> JointLoss:
        """The losses of logits [B, K, H, W] and teacher maps of that shape, or their targets.

        `target_coords` [B, K, 2] in heatmap pixels; `weight` [B, K] is for the coordinates and,
        unless `teacher_weight` is given, for the distillation too.
        """
        inputs = self._inputs(student_logits, teacher, target_coords, weight, teacher_weight)
        return joint_of(inputs)

    def loss_and_grad(
        self,
        student_logits: Tensor,
        teacher: Tensor | TeacherTargets,
        target_coords: Tensor | None = None,
        weight: Tensor | None = None,
        teacher_weight: Tensor | None = None,
        *,
        grad_scale: Tensor | None = None,
    ) -> tuple[JointLoss, Tensor]:
        """The losses and the gradient in one pass without autograd: see `joint_loss_and_grad`."""
        inputs = self._inputs(student_logits, teacher, target_coords, weight, teacher_weight)
        return joint_and_grad_of(inputs, grad_scale)

    def _inputs(
        self,
        student: Tensor,
        teacher: Tensor | TeacherTargets,
        target_coords: Tensor | None,
        weight: Tensor | None,
        teacher_weight: Tensor | None,
    ) -> JointInputs:
        targets = self._targets_for(student, teacher)
        return joint_inputs(
            student, targets, target_coords, weight, teacher_weight, self._hhd, self._joint
        )
