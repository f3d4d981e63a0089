"""How persons are cropped and augmented."""

from dataclasses import dataclass
from typing import Literal

from hhd.checks import check_from_zero, check_positive, check_share, check_sizes


@dataclass(frozen=True)
class CropsFields:
    """How persons are cropped and augmented."""

    input_size: tuple[int, int] = (96, 96)
    """Crop given to the network, (width, height) in pixels."""
    padding: float = 1.25
    """The crop is the box, aspect fixed, times this."""
    affine: Literal["standard", "udp"] = "standard"
    """Geometry of crop and heatmap: strides from the first pixel, or UDP's corners on corners."""
    augmentation: Literal["hrnet", "mmpose"] = "hrnet"
    """Whose random crops, HRNet's or mmpose 1.x's."""
    scale_factor: float = 0.25
    """Random scale of the crop: 1 + scale_factor * normal, clipped to 1 +- scale_factor (hrnet) or
    of a normal number within +-1 (mmpose)."""
    rotation_factor: float = 30.0
    """Random rotation in degrees: rotation_factor * normal, clipped to twice that (hrnet) or of a
    normal number within +-1 (mmpose)."""
    rotation_probability: float = 0.6
    """Share of crops that are rotated."""
    flip_probability: float = 0.5
    """Share of crops that are mirrored."""
    half_body_probability: float = 0.0
    """Share of the persons with 9 joints or more that are cropped to half of them (COCO: 0.3)."""
    shift_probability: float = 0.0
    """Share of crops that mmpose shifts by up to .16 of the box (its default: 0.3)."""
    views: int = 0
    """Draw this many augmented views of a person and show them in turn; 0 draws one for every
    epoch."""
    transform: str | None = None
    """Your own f(image, keypoints, visible) on the finished crop, as package.module.function."""
    cache: str | None = None
    """Folder for the pictures cut to their persons and decoded, larger than the crop; what is not
    there is added when it is first read (hhd data cache adds all)."""
    cache_room: float = 1.5
    """Side of what the cache keeps, in crops."""
    joint_weights: bool = False
    """Weigh joints by the skeleton's joint_weights (HRNet USE_DIFFERENT_JOINTS_WEIGHT)."""

    def check(self) -> None:
        check_sizes("input_size", self.input_size, 2)
        check_positive("padding", self.padding)
        check_positive("cache_room", self.cache_room)
        for name in ("scale_factor", "rotation_factor", "views"):
            check_from_zero(name, getattr(self, name))
        for name in ("rotation", "flip", "half_body", "shift"):
            check_share(f"{name}_probability", getattr(self, f"{name}_probability"))
        if self.scale_factor >= 1:
            raise ValueError(f"scale_factor is {self.scale_factor}; it takes a share below 1")
        if self.cache_room < 1:
            raise ValueError(f"cache_room is {self.cache_room}; it takes a number from 1 up")
