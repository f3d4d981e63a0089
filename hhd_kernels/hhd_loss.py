"""The heatmap distillation loss between the student's and the teacher's windows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from hhd_kernels import _library, backend, checks
from hhd_kernels.crop import Axis, Place, place, read, taps
from hhd_kernels.locate import student_reference
from hhd_kernels.loss_autograd import call, loss_autograd
from hhd_kernels.normalize import accumulator, log_softmax, normalized
from hhd_kernels.option_names import HHDLossOptions, shows_options
from hhd_kernels.options import Border, Divergence, Locate, Normalize, Reduction, Sampling
from hhd_kernels.teacher_targets import TeacherTargets

if TYPE_CHECKING:
    from typing_extensions import Unpack

LOG_TINY = math.log(1.1754943508222875e-38)
"""The log of a student mass that is exactly zero: the smallest normal float32."""


class HHDOptions(NamedTuple):
    """How windows are compared, in the order of the ops' arguments."""

    beta: float
    normalize: int
    divergence: int
    locate: int
    sampling: int
    border: int
    reduction: int
    eps: float


@checks.remembered
def hhd_options(
    beta: float = 10.0,
    normalize: str = "softmax",
    divergence: str = "kl",
    locate: str = "peak",
    sampling: str = "nearest",
    border: str = "mirror",
    reduction: str = "mean",
    eps: float = 1e-6,
) -> HHDOptions:
    """Check the options of `hhd_loss` and turn them into what the ops take."""
    if divergence == "kl" and normalize != "softmax":
        raise ValueError(
            f"normalize is {normalize!r}; divergence='kl' takes a student normalized by 'softmax'"
        )
    return HHDOptions(
        checks.positive("beta", beta),
        checks.choice("normalize", normalize, Normalize),
        checks.choice("divergence", divergence, Divergence),
        checks.choice("locate", locate, Locate),
        checks.choice("sampling", sampling, Sampling),
        checks.choice("border", border, Border),
        checks.choice("reduction", reduction, Reduction),
        checks.positive("eps", eps),
    )


@shows_options(hhd_options)
def hhd_loss(
    student_logits: Tensor,
    targets: TeacherTargets,
    weight: Tensor | None = None,
    **options: Unpack[HHDLossOptions],
) -> Tensor:
    """Compare the student's window A, cropped from its normalised map, with the teacher's Bt.

    Args:
        student_logits: S, [B, K, H, W].
        targets: of teacher maps of the same H x W, see `teacher_targets`.
        weight: non-negative, [B, K]; None is ones. It selects: a joint of weight 0 contributes
            exactly 0 to loss and gradient, whatever its maps hold.
        beta: inverse temperature of the student's softmax.
        normalize: of the student's map, see `normalize`.
        divergence: "sse": sum (A - Bt)^2. "kl": KL(teacher || student) over the window's cells and
            one rest bin, the in-map mass outside the window, both sides renormalised over cells and
            rest; takes normalize="softmax", and the teacher windows' positive part. A zero teacher
            window gives 0; a student mass that is exactly 0 counts as the smallest normal float32.
        locate: where the student's window lies, see `locate_student`.
        sampling, border: see `crop`; they must be those of the targets.
        reduction: "mean": sum w l / sum w, 0 if the given weights sum to 0. "official":
            sum w l / B.
        eps: smallest divisor of the student's normalisation.

    Returns:
        A scalar, float32 (float64 for float64 logits). Differentiable once, in `student_logits`
        only. It is NaN if a joint that contributes has a NaN or +inf in its map, a map of -inf
        throughout, or targets that are not finite, centre or window (the confidence is not read);
        then that map's whole gradient is NaN, and no other's.
    """
    return loss_of(student_logits, targets, weight, hhd_options(**options))


def loss_of(
    logits: Tensor,
    targets: TeacherTargets,
    weight: Tensor | None,
    options: HHDOptions,
    hhd_weight: float = 1.0,
) -> Tensor:
    """`hhd_loss` with checked options, times `hhd_weight`."""
    check_pair(logits, targets)
    targets = ordinary_targets(targets)
    if weight is not None:
        weight = checks.weight("weight", weight, "student_logits", logits)
    ops = backend.ops("hhd_loss", logits)
    if ops is None:
        return hhd_weight * reference(logits, targets, weight, options)
    arguments = (targets.centers, targets.windows, weight, None, *options, hhd_weight)
    return call(ops, "hhd_loss", logits, *arguments)[0]


def ordinary_targets(targets: TeacherTargets) -> TeacherTargets:
    """Targets that autograd may save, also of tensors made under inference_mode."""
    return TeacherTargets(*map(checks.ordinary, targets))


def check_pair(logits: Tensor, targets: TeacherTargets) -> None:
    """Raise unless `logits` are maps and `targets` belong to as many of them."""
    checks.maps("student_logits", logits)
    if not isinstance(targets, TeacherTargets):
        raise TypeError(f"targets is a {type(targets).__name__}; it takes TeacherTargets")
    checks.like("targets.centers", targets.centers, "student_logits", logits, 2)
    checks.like(
        "targets.windows", targets.windows, "student_logits", logits, *targets.windows.shape[2:]
    )
    if targets.windows.dim() != 4:
        raise ValueError(
            f"targets.windows has shape {list(targets.windows.shape)};"
            " it takes [B, K, rows, columns]"
        )


def reference(
    logits: Tensor, targets: TeacherTargets, weight: Tensor | None, options: HHDOptions
) -> Tensor:
    """`hhd_loss` in plain PyTorch."""
    maps = logits.to(accumulator(logits))
    return Pair(maps, targets, weight, options).loss(maps)


def select(maps: Tensor, selected: Tensor) -> Tensor:
    """The same maps; gradients that reach an unselected map, even NaN ones, end here as 0."""
    return torch.where(selected[..., None, None], maps, maps.detach())


class Pair:
    """Both windows of every joint: where they lie, what the teacher's holds, which joints count."""

    def __init__(
        self, maps: Tensor, targets: TeacherTargets, weight: Tensor | None, options: HHDOptions
    ) -> None:
        self.options = options
        dtype = maps.dtype
        self.weight = (
            torch.ones(maps.shape[:2], dtype=dtype, device=maps.device)
            if weight is None
            else weight.detach().to(dtype)
        )
        self.selected = self.weight != 0
        # An unselected joint's targets may be NaN; with neutral ones its gradient is a plain 0.
        windows = targets.windows.detach().to(dtype)
        self.windows = torch.where(self.selected[..., None, None], windows, 0)
        centers = torch.where(self.selected[..., None], targets.centers.detach().to(dtype), 0)
        self.known = centers.isfinite().all(-1) & self.windows.isfinite().flatten(2).all(-1)

        size = (windows.shape[2], windows.shape[3])
        student_centers = student_reference(
            maps.detach(), centers, options.locate, options.beta, *size
        )
        self.student = place(student_centers, size, maps, options.sampling, options.border)
        self.teacher = place(centers, size, maps, options.sampling, options.border)
        self.selects = weight is not None

    def loss(self, maps: Tensor) -> Tensor:
        """The reduced loss of student maps, of the accumulator's dtype."""
        options = self.options
        if self.selects:
            maps = select(maps, self.selected)
        if options.divergence == Divergence.SSE:
            a = read(normalized(maps, options.normalize, options.beta, options.eps), self.student)
            losses = (a - self.windows).square().sum(dim=(2, 3))
        else:
            losses = self.kl(log_softmax(maps, options.beta))
        losses = spread_nan(torch.where(self.known, losses, torch.nan), maps)
        return reduce(losses, self.weight, self.selected, options.reduction, maps.shape[0])

    def kl(self, log_p: Tensor) -> Tensor:
        """KL(teacher || student) over cells and rest for the student's log p, as [B, K]."""
        windows = self.windows.relu()
        covered = torch.where(self.teacher.inside, windows, 0).sum(dim=(2, 3))
        teacher = torch.cat((windows.flatten(2), (1 - covered).clamp_min(0)[..., None]), dim=-1)
        teacher = teacher / teacher.sum(-1, keepdim=True)

        log_mass = torch.cat(
            (log_cells(log_p, self.student).flatten(2), log_rest(log_p, self.student)[..., None]),
            dim=-1,
        )
        log_student = torch.where(log_mass == -torch.inf, LOG_TINY, log_mass)
        log_student = log_student - log_sum(log_mass, -1)[..., None]

        terms = torch.where(teacher <= 0, 0, teacher * (teacher.log() - log_student))
        return torch.where(windows.sum(dim=(2, 3)) == 0, 0, terms.sum(-1))


def log_cells(log_p: Tensor, where: Place) -> Tensor:
    """The log of the mass in every cell of a window, -inf for none, [B, K, rows, columns]."""
    terms = [values + weight.log() for values, weight in taps(log_p, where)]
    return torch.where(where.filled, log_sum(torch.stack(terms), 0), -torch.inf)


def log_rest(log_p: Tensor, where: Place) -> Tensor:
    """The log of the in-map mass that no in-map cell of the window holds, -inf for none, [B, K]."""
    size = where.inside.shape[2:]
    rows = _held(where.rows, size[0], log_p.shape[2])
    columns = _held(where.columns, size[1], log_p.shape[3])
    share = 1 - rows[..., :, None] * columns[..., None, :]
    return log_sum((log_p + share.log()).flatten(2), -1)


def _held(axis: Axis, size: int, length: int) -> Tensor:
    """How much of every line of the map the window's in-map positions hold, [B, K, length]."""
    line = torch.arange(length, dtype=axis.start.dtype, device=axis.start.device)

    def at(position: Tensor) -> Tensor:
        step = position - axis.start
        on_map = (position >= 0) & ((position < length - 1) | (axis.fraction == 0))
        return (step >= 0) & (step < size) & on_map

    return (1 - axis.fraction) * at(line) + axis.fraction * at(line - 1)


def log_sum(x: Tensor, dim: int) -> Tensor:
    """log sum exp along `dim`; -inf, with a zero gradient, where every term is -inf."""
    largest = x.detach().amax(dim, keepdim=True)
    empty = largest == -torch.inf
    total = (x - torch.where(empty, 0, largest)).exp().sum(dim, keepdim=True)
    total = torch.where(empty, -torch.inf, largest + torch.where(empty, 1, total).log())
    return total.squeeze(dim)


def spread_nan(losses: Tensor, maps: Tensor) -> Tensor:
    """The same losses [B, K]; the gradient of one that is NaN is NaN throughout its map."""
    unknown = losses.isnan()
    factor = torch.where(unknown, torch.nan, 1.0).to(maps.dtype)
    return torch.where(unknown, factor * maps.sum(dim=(2, 3)), losses)


def reduce(
    losses: Tensor, weight: Tensor, selected: Tensor, reduction: int, official_count: int
) -> Tensor:
    """Weigh losses [B, K] into a scalar; a joint that is not selected contributes exactly 0."""
    total = torch.where(selected, weight * losses, 0).sum()
    if reduction == Reduction.OFFICIAL:
        return total / max(official_count, 1)
    weights = weight.sum()
    nothing = weights == 0
    return torch.where(nothing, 0, total / torch.where(nothing, 1, weights))


@_library.fake("hhd_loss")
def _fake(
    logits: Tensor,
    centers: Tensor,
    windows: Tensor,
    weight: Tensor | None,
    grad_scale: Tensor | None,
    beta: float,
    normalize: int,
    divergence: int,
    locate: int,
    sampling: int,
    border: int,
    reduction: int,
    eps: float,
    hhd_weight: float,
    with_grad: bool,
) -> tuple[Tensor, Tensor]:
    return logits.new_empty((), dtype=accumulator(logits)), fake_gradient(logits, with_grad)


def fake_gradient(logits: Tensor, with_grad: bool) -> Tensor:
    """The gradient output of a loss op without data."""
    return torch.empty_like(logits) if with_grad else logits.new_empty(0)


@_library.fake("loss_backward")
def _backward_fake(grad: Tensor, factor: Tensor, logits: Tensor) -> Tensor:
    return torch.empty_like(logits)


@_library.fake("loss_backward_")
def _backward_in_place_fake(grad: Tensor, factor: Tensor) -> None:
    pass


_library.no_derivative("loss_backward_")


loss_autograd("hhd_loss")
