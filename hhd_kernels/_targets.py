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
_of_fields = TeacherTargets.__new__


def _of_fields_or_generator(
    cls: type[TeacherTargets], *fields: Any, **named: Any
) -> TeacherTargets:
    # Trainers rebuild a tuple as type(x)(f(field) for field in x), which a NamedTuple takes apart.
    if len(fields) == 1 and not named and hasattr(fields[0], "__next__"):
        fields = tuple(fields[0])
    return _of_fields(cls, *fields, **named)


TeacherTargets.__new__ = _of_fields_or_generator  # type: ignore[method-assign, assignment]
