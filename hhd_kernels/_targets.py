"""The tuple of teacher targets, in a file that needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class TeacherTargets(NamedTuple):
    """A teacher's answer for every joint; none of it carries a gradient.

    They do not say how they were made: a loss takes those of its own `targets`, from maps of its
    student's size. A generator of the three fields makes one too, as Hugging Face's Trainer does.
    """

    centers: Tensor
    """(x, y) in heatmap pixels, [B, K, 2]."""
    windows: Tensor
    """The normalised map around the centre, [B, K, rows, columns]."""
    confidence: Tensor
    """The raw map's maximum, NaN if the map has NaN, [B, K]."""

    def to(self, *args: Any, **kwargs: Any) -> TeacherTargets:
        """Every tensor's `Tensor.to`, for instance to a device."""
        return TeacherTargets(*(tensor.to(*args, **kwargs) for tensor in self))


# Where it is public, and where stored files look for it.
TeacherTargets.__module__ = "hhd_kernels.teacher_targets"


def rebuilds_from_fields(kind: Any) -> None:
    """Let a NamedTuple be made of one generator or list of its fields too: trainers rebuild a tuple
    as type(x)(f(field) for field in x)."""
    of_fields = kind.__new__

    def of_fields_or_sequence(cls: Any, *fields: Any, **named: Any) -> Any:
        if len(fields) == 1 and (hasattr(fields[0], "__next__") or isinstance(fields[0], list)):
            fields = tuple(fields[0])
        return of_fields(cls, *fields, **named)

    kind.__new__ = of_fields_or_sequence


rebuilds_from_fields(TeacherTargets)
