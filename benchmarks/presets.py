"""The two presets under test, each with the options that its parts take, and its looped version."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

import hhd_kernels as hk
from benchmarks.kl_loop import kl_loop
from benchmarks.official_loop import official_loop
from benchmarks.vectorised import Loss, kl, published


class Preset(NamedTuple):
    """A joint loss, and the same as options of the functional ops and of the oracle."""

    joint: hk.IntegralHHDLoss
    hhd: hk.HHDLoss
    """Its distillation term alone, times that term's weight."""
    loop: Callable[[Tensor, Tensor], Tensor]
    """`hhd` of float32 maps, one map at a time."""
    vectorised: Loss
    """`joint` in plain PyTorch, written for speed."""
    target_options: dict[str, Any]
    hhd_options: dict[str, Any]
    joint_options: dict[str, Any]


KL = Preset(
    # The loops have no weight, and no time depends on it.
    joint=hk.IntegralHHDLoss(hhd_weight=1.0),
    hhd=hk.HHDLoss(),
    loop=kl_loop,
    vectorised=kl,
    target_options={"window": (7, 7), "normalize": "l1_positive", "border": "mirror"},
    hhd_options={"beta": 10.0, "normalize": "softmax", "divergence": "kl"},
    joint_options={"coordinate_loss": "l1", "coordinate_unit": 2.0},
)
PUBLISHED = Preset(
    joint=hk.IntegralHHDLoss.published(),
    hhd=hk.HHDLoss.published(),
    loop=official_loop,
    vectorised=published,
    target_options={"window": (8, 8), "normalize": "l2", "border": "mirror_published"},
    hhd_options={
        "beta": 10.0,
        "normalize": "l2",
        "divergence": "sse",
        "locate": "published",
        "border": "mirror_published",
        "reduction": "official",
    },
    joint_options={
        "coordinate_loss": "smooth_l1",
        "coordinate_unit": "map",
        "hhd_weight": 0.5,
    },
)
PRESETS = {"kl": KL, "published": PUBLISHED}
