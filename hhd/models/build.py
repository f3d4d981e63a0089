"""The networks by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hhd.models.base import PoseModel
from hhd.models.efficientnet_lite import Lite0Pose
from hhd.models.heads import TopDownPose
from hhd.models.hrnet import HRNet
from hhd.models.imagenet import SOURCES, load_imagenet
from hhd.models.layers import Backbone
from hhd.models.litehrnet import LiteHRNet
from hhd.models.mobilenet_v2 import MobileNetV2
from hhd.models.phone import PhoneNet
from hhd.models.resnet import ResNet
from hhd.models.shufflenet_v2 import ShuffleNetV2
from hhd.models.small import SmallPose
from hhd.models.timm_backbone import TimmBackbone
from hhd.models.vitpose import ViTPose
from hhd.text import meant, shown

# SimpleBaseline's three deconvolutions: from stride 32 to stride 4.
SIMPLE_BASELINE = (256, 256, 256)

# Backbone, and the deconvolutions of the head that its authors or mmpose give it.
BACKBONES: dict[str, tuple[Callable[[], Backbone], tuple[int, ...]]] = {
    "hrnet_w32": (lambda: HRNet(32), ()),
    "hrnet_w48": (lambda: HRNet(48), ()),
    "resnet50": (lambda: ResNet((3, 4, 6, 3)), SIMPLE_BASELINE),
    "litehrnet18": (lambda: LiteHRNet((2, 4, 2)), ()),
    "litehrnet30": (lambda: LiteHRNet((3, 8, 3)), ()),
    "mobilenetv2": (MobileNetV2, SIMPLE_BASELINE),
    "shufflenetv2": (ShuffleNetV2, SIMPLE_BASELINE),
    "phone": (PhoneNet, ()),
}

# Networks whose head is a part of them.
WHOLE: dict[str, Callable[[int], PoseModel]] = {
    "small_student": lambda joints: SmallPose(joints, channels=(8, 16, 32, 48)),
    "small_teacher": lambda joints: SmallPose(joints, channels=(16, 32, 64, 96)),
    "lite0_student": lambda joints: Lite0Pose(joints, blocks=11),
    "lite0_student_large": lambda joints: Lite0Pose(joints, blocks=12, width=128),
    "lite0_teacher": lambda joints: Lite0Pose(joints, blocks=16),
    "vitpose_s": lambda joints: ViTPose(joints, "s"),
    "vitpose_b": lambda joints: ViTPose(joints, "b"),
    "vitpose_b_simple": lambda joints: ViTPose(joints, "b", simple=True),
    "vitpose_plus_s": lambda joints: ViTPose(joints, "s", plus=True),
    "vitpose_plus_b": lambda joints: ViTPose(joints, "b", plus=True),
    "vitpose_plus_l": lambda joints: ViTPose(joints, "l", plus=True),
    "vitpose_plus_h": lambda joints: ViTPose(joints, "h", plus=True),
}

MODELS = (*WHOLE, *BACKBONES)
TIMM = "timm/"


def check_model_name(name: str) -> None:
    """``ValueError`` unless :func:`build_model` knows ``name``; of timm's names timm decides."""
    if name not in MODELS and not str(name).startswith(TIMM):
        raise ValueError(
            f"model is {shown(name)}; it takes one of {', '.join(MODELS)}, or timm/NAME"
            + meant(str(name), MODELS)
        )


def build_model(
    name: str, joints: int, pretrained: bool = False, deconv: Sequence[int] | None = None
) -> PoseModel:
    """A network that gives ``joints`` maps; its attribute ``stride`` is input pixels per map pixel.

    ``pretrained`` loads ImageNet weights into the backbone: of the ``lite0`` networks, those of
    :data:`hhd.models.imagenet.SOURCES`, and timm's.
    ``deconv`` are the widths of the head's deconvolutions, each of which doubles the maps' size
    (None: as its authors have it; the backbones of timm go up to stride 4).
    """
    check_model_name(name)
    if pretrained and not name.startswith((*SOURCES, "lite0_", TIMM)):
        raise ValueError(
            f"pretrained is true, but no library has ImageNet weights of model {name}, only of "
            f"lite0_*, {', '.join(SOURCES)} and timm/*: name a file of them as weights, or train "
            "from nothing"
        )
    if name in WHOLE:
        if deconv is not None:
            raise ValueError(f"deconv is {list(deconv)}, but model {name} has a head of its own")
        model = WHOLE[name](joints)
        if pretrained and isinstance(model, Lite0Pose):
            model.load_imagenet()
        return model
    if name in BACKBONES:
        build, usual = BACKBONES[name]
        model = TopDownPose(build(), joints, usual if deconv is None else deconv)
        if pretrained:
            load_imagenet(model.backbone, name)
        return model
    backbone = TimmBackbone(name.removeprefix(TIMM), pretrained)
    doublings = max(backbone.stride.bit_length() - 3, 0)
    return TopDownPose(backbone, joints, (256,) * doublings if deconv is None else deconv)
