"""The losses as modules: options checked once, teacher maps or stored targets on each call."""

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any, ClassVar, cast

from torch import Tensor, nn

from hhd_kernels import checks, triton
from hhd_kernels.hhd_loss import HHDOptions, hhd_options, loss_of
from hhd_kernels.joint_loss import (
    JointInputs,
    JointLoss,
    JointOptions,
    joint_and_grad_of,
    joint_inputs,
    joint_of,
    joint_options,
)
from hhd_kernels.teacher_targets import (
    TargetOptions,
    TeacherMaps,
    TeacherTargets,
    target_options,
    targets_of,
)

# The imports above are the files of all ops.
triton.register()

_KL_TEACHERS = ("softmax", "l1_positive")
_PUBLISHED: dict[str, Any] = {
    "window": (8, 8),
    "normalize": ("l2", "l2"),
    "divergence": "sse",
    "locate": "published",
    "border": "mirror_published",
    "reduction": "official",
}


class _Made(nn.Module):
    """What a loss's options make."""

    preset: str
    """The options' name, where all but `floor` make a set that has one; else "custom"."""
    _hhd: HHDOptions
    _target: TargetOptions
    _joint: JointOptions


# Hashed and compared as any module is.
@dataclass(eq=False, repr=False)
class _Distillation(_Made):
    """What both losses share: the options of the windows, the preset's name, the teacher's side."""

    beta: float = 10.0
    _: KW_ONLY
    window: int | tuple[int, int] = (7, 7)
    normalize: tuple[str, str] = ("softmax", "l1_positive")
    divergence: str = "kl"
    locate: str = "peak"
    sampling: str = "nearest"
    border: str = "mirror"
    reduction: str = "mean"
    eps: float = 1e-6
    floor: float = 0.0

    _usual: ClassVar[str]
    """The defaults' name."""
    _published: ClassVar[dict[str, Any]]
    """What the preset "published-v1" changes of the defaults."""

    def __post_init__(self) -> None:
        super().__init__()
        self.set_options()

    def set_options(self, **options: Any) -> None:
        """Set options anew, as a schedule does; several at once where one needs another.

        They are checked as the constructor checks them, together with the others, and hold from
        the next call on; where one is refused, the loss stays as it was. `criterion.beta = 5.0` is
        the same for one.
        """
        if unknown := options.keys() - self._defaults().keys():
            raise TypeError(
                f"{type(self).__name__} has no option {', '.join(map(repr, sorted(unknown)))};"
                f" its options are {', '.join(self._defaults())}"
            )
        self.__dict__.update(self._made(self._options() | options))

    def __setattr__(self, name: str, value: Any) -> None:
        if "preset" in self.__dict__ and name in self._defaults():
            self.set_options(**{name: value})
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        if name in self._defaults():
            raise AttributeError(f"{name} is an option of the loss; it is set, never deleted")
        super().__delattr__(name)

    def _made(self, options: dict[str, Any]) -> dict[str, Any]:
        """The attributes that options make, checked."""
        window = checks.window("window", options["window"])
        student, teacher = normalize = _pair(options["normalize"])
        if options["divergence"] == "kl" and teacher not in _KL_TEACHERS:
            raise ValueError(
                f"normalize[1] is {teacher!r}; divergence='kl' takes a teacher that sums to 1,"
                f" one of {', '.join(map(repr, _KL_TEACHERS))}"
            )
        options = options | {"window": window, "normalize": normalize}
        alike = {name: options[name] for name in ("sampling", "border", "eps")}
        others = {name: options[name] for name in ("beta", "divergence", "locate", "reduction")}
        presets: dict[str, dict[str, Any]] = {self._usual: {}, "published-v1": self._published}
        # What a teacher leaves far from its peaks is the teacher's, not the loss's.
        usual = self._defaults() | {"floor": options["floor"]}
        return options | {
            "_hhd": hhd_options(normalize=student, **others, **alike),
            "_target": target_options(window, teacher, **alike, floor=options["floor"]),
            "preset": next(
                (name for name, changes in presets.items() if options == usual | changes), "custom"
            ),
        }

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """The options by name; what a subclass adds is its own business."""
        (ours, *_) = (c for c in cls.__mro__ if c.__module__ == __name__)
        return {field.name: field.default for field in fields(cast(Any, ours))}

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._defaults()}

    def targets(self, teacher_maps: Tensor) -> TeacherTargets:
        """What this loss needs of teacher maps, [B, K, H, W]; may be stored and passed instead."""
        checks.maps("teacher_maps", teacher_maps)
        return targets_of(teacher_maps, self._target)

    def _checked(
        self, student: Tensor, teacher: Tensor | TeacherTargets
    ) -> TeacherTargets | TeacherMaps:
        if not isinstance(teacher, (Tensor, TeacherTargets)):
            raise TypeError(
                f"teacher is a {type(teacher).__name__}; it takes maps as a torch.Tensor, or"
                " TeacherTargets"
            )
        if isinstance(teacher, Tensor):
            checks.maps("student_logits", student)
            checks.like("teacher", teacher, "student_logits", student, *student.shape[2:])
            return TeacherMaps(teacher, self._target)
        if teacher.windows.shape[2:] != self._target[:2]:
            raise ValueError(
                f"teacher.windows has shape {list(teacher.windows.shape)};"
                f" this loss takes windows of {list(self._target[:2])}"
            )
        return teacher

    def extra_repr(self) -> str:
        return ", ".join(
            f"{name}={value!r}"
            for name, value in {"preset": self.preset, **self._options()}.items()
        )


def _pair(normalize: Any) -> tuple[str, str]:
    if not isinstance(normalize, (tuple, list)) or len(normalize) != 2:
        raise ValueError(f"normalize is {normalize!r}; it takes a pair, (student, teacher)")
    return normalize[0], normalize[1]


@dataclass(eq=False, repr=False)
class HHDLoss(_Distillation):
    """Distil a teacher's heatmaps into a student's, see `hhd_kernels.hhd_loss`.

    The defaults are the preset "kl-v1": KL of the teacher's l1-normalised window, plus a rest bin,
    against softmax(beta S). Start such a student's last convolution with `start_from_zero_maps`,
    and decode it with `soft_argmax(..., window=9)`.

    Args:
        beta: inverse temperature of the student's softmax.
        window: (rows, columns) of heatmap pixels, or the side of a square.
        normalize: (student, teacher), what becomes of a map: "softmax" (of beta S), "l1_positive"
            (its positive part over its sum), "l1", "l2" (over the whole map's norm), "none".
        divergence: "kl", KL(teacher || student) over the window's cells and one rest bin, the mass
            outside, or "sse", the sum of squared differences in the window.
        locate: where the student's window lies: "peak", at the teacher's; "debiased", where the
            peak would be of a student whose expectation is there; "published", as the official
            code shifts it.
        sampling: "nearest", whole cells, or "bilinear", between them.
        border: what a window holds beyond the map: "mirror", its mirror image, or
            "mirror_published", with the official code's slip at odd windows.
        reduction: "mean", weighted over joints, or "official", sum / B.
        eps: smallest divisor of a normalisation.
        floor: the share of a teacher map's maximum below which its values count as 0. Targets that
            were made elsewhere keep their own.
        weight: multiplies the loss.
    """

    _: KW_ONLY
    weight: float = 1.0

    _usual: ClassVar = "kl-v1"
    _published: ClassVar = {**_PUBLISHED, "beta": 1.0, "weight": 0.5}

    def _made(self, options: dict[str, Any]) -> dict[str, Any]:
        checks.non_negative("weight", options["weight"])
        return super()._made(options)

    @classmethod
    def published(
        cls,
        window: int | tuple[int, int] = (8, 8),
        normalize: tuple[str, str] = ("l2", "l2"),
        *,
        beta: float = 1.0,
        weight: float = 0.5,
    ) -> "HHDLoss":
        """The official loss, value for value (its CropbiasLoss): squares, sum / B x 0.5."""
        given = {"beta": beta, "window": window, "normalize": normalize}
        return cls(**cls._published | given | {"weight": weight})

    def forward(
        self,
        student_logits: Tensor,
        teacher: Tensor | TeacherTargets,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The loss of logits [B, K, H, W] and teacher maps of that shape, or their targets.

        `weight` is per joint, [B, K]; it selects, see `hhd_kernels.hhd_loss`.
        """
        targets = self._checked(student_logits, teacher)
        if isinstance(targets, TeacherMaps):
            targets = targets.targets()
        return loss_of(student_logits, targets, weight, self._hhd, float(self.weight))


@dataclass(eq=False, repr=False)
class IntegralHHDLoss(_Distillation):
    """Teach an integral (soft-argmax) student by labels and a heatmap teacher at once.

    See `hhd_kernels.joint_loss`. The defaults are the preset "kl-v2": the distillation of `HHDLoss`
    at ten times the weight of the coordinates' L1 distance ("kl-v1" had one, which costs three
    points of PCK@0.2 on LSP Extended). Start such a student's last convolution with
    `start_from_zero_maps`, and decode it with `soft_argmax(..., window=9)`.

    Args:
        coordinate_loss: of d = (expectation - label) / unit, the mean over both axes of "l1": |d|;
            "smooth_l1": d^2 / (2 t) where |d| < t, else |d| - t / 2; "l2": d^2. Or "none".
        coordinate_unit: heatmap pixels a unit, usually the sigma of the labels' Gaussians; or
            "map", the map's width for x and its height for y.
        transition: t of "smooth_l1", in units.
        coordinate_weight, hhd_weight: of the two terms in `.loss`.
        beta: inverse temperature of the student's softmax.
        window: (rows, columns) of heatmap pixels, or the side of a square.
        normalize: (student, teacher), what becomes of a map: "softmax" (of beta S), "l1_positive"
            (its positive part over its sum), "l1", "l2" (over the whole map's norm), "none".
        divergence: "kl", KL(teacher || student) over the window's cells and one rest bin, the mass
            outside, or "sse", the sum of squared differences in the window.
        locate: where the student's window lies: "peak", at the teacher's; "debiased", where the
            peak would be of a student whose expectation is there; "published", as the official
            code shifts it.
        sampling: "nearest", whole cells, or "bilinear", between them.
        border: what a window holds beyond the map: "mirror", its mirror image, or
            "mirror_published", with the official code's slip at odd windows.
        reduction: "mean", weighted over joints, or "official", sum / B.
        eps: smallest divisor of a normalisation.
        floor: the share of a teacher map's maximum below which its values count as 0. Targets that
            were made elsewhere keep their own.
    """

    coordinate_loss: str = "l1"
    _: KW_ONLY
    coordinate_unit: float | str = 2.0
    transition: float = 1.0
    coordinate_weight: float = 1.0
    hhd_weight: float = 10.0

    _usual: ClassVar = "kl-v2"
    _published: ClassVar = {
        **_PUBLISHED,
        "coordinate_loss": "smooth_l1",
        "coordinate_unit": "map",
        "hhd_weight": 0.5,
    }

    def _made(self, options: dict[str, Any]) -> dict[str, Any]:
        names = ("coordinate_loss", "coordinate_unit", "transition")
        weights = ("coordinate_weight", "hhd_weight")
        joint = joint_options(**{name: options[name] for name in (*names, *weights)})
        return super()._made(options) | {"_joint": joint}

    @classmethod
    def published(
        cls,
        beta: float = 10.0,
        window: int | tuple[int, int] = (8, 8),
        normalize: tuple[str, str] = ("l2", "l2"),
        *,
        coordinate_weight: float = 1.0,
        hhd_weight: float = 0.5,
    ) -> "IntegralHHDLoss":
        """The official recipe: SmoothL1 of the coordinates in units of the map, plus its loss."""
        given = {"beta": beta, "window": window, "normalize": normalize}
        weights = {"coordinate_weight": coordinate_weight, "hhd_weight": hhd_weight}
        return cls(**cls._published | given | weights)

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
        return joint_inputs(
            student,
            self._checked(student, teacher),
            target_coords,
            weight,
            teacher_weight,
            self._hhd,
            self._joint,
        )
