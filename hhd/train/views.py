"""Targets of the very views that a run shows: which run they serve."""

from __future__ import annotations

from typing import Any

from hhd.data.skeleton import Skeleton
from hhd.train.recipe import Recipe

# Fields of a recipe that the views and the targets in them depend on.
DECIDES = (
    "input_size", "padding", "affine", "augmentation", "scale_factor", "rotation_factor",
    "rotation_probability", "flip_probability", "half_body_probability", "shift_probability",
    "views", "seed", "boxes", "drop_swapped_labels", "labels", "train_annotations",
    "further_annotations", "model", "deconv", "loss", "window", "teacher_floor", "cache_room",
)  # fmt: skip


def view_settings(recipe: Recipe, skeleton: Skeleton) -> dict[str, Any]:
    """What a store of views is made with; a recipe takes only its own."""
    values = recipe.as_dict()
    return {
        "form": "views",
        "joints": list(skeleton.joints),
        **{name: values[name] for name in DECIDES},
        "cached": recipe.cache is not None,
    }
