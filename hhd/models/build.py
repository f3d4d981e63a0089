"""The networks by name."""

from __future__ import annotations

from collections.abc import Callable

from hhd.models.base import PoseModel
from hhd.models.efficientnet_lite import Lite0Pose
from hhd.models.small import SmallPose

MODELS: dict[str, Callable[[int], PoseModel]] = {
    "small_student": lambda joints: SmallPose(joints, channels=(8, 16, 32, 48)),
    "small_teacher": lambda joints: SmallPose(joints, channels=(16, 32, 64, 96)),
    "lite0_student": lambda joints: Lite0Pose(joints, blocks=11),
    "lite0_teacher": lambda joints: Lite0Pose(joints, blocks=16),
}


def build_model(name: str, joints: int, pretrained: bool = False) -> PoseModel:
    """A network that gives ``joints`` maps; its attribute ``stride`` is input pixels per map pixel.

    ``pretrained`` loads ImageNet weights, which only the ``lite0`` networks have.
    """
    if name not in MODELS:
        raise ValueError(f"model is {name!r}; it takes one of {', '.join(MODELS)}")
    model = MODELS[name](joints)
    if pretrained:
        if not isinstance(model, Lite0Pose):
            raise ValueError(
                f"pretrained is true, but model {name} has no ImageNet weights; lite0_* have"
            )
        model.load_imagenet()
    return model
