"""How the network is read and evaluated."""

from dataclasses import dataclass
from typing import Literal

from hhd.checks import check_odd, check_positive


@dataclass(frozen=True)
class EvaluationFields:
    """How the network is read and evaluated."""

    decode: Literal["whole", "local"] = "whole"
    """Integral students at evaluation: expectation over the whole map or around its peak."""
    decode_window: int = 9
    """Side of the local soft-argmax in heatmap pixels, odd, up to 999."""
    decode_beta: float | None = None
    """Inverse temperature at evaluation (default: beta). The whole map's expectation is pulled less
    to its middle by a higher one."""
    heatmap_decode: Literal["plain", "quarter", "quarter_hrnet", "dark", "dark_udp"] = "dark"
    """How heatmap networks' maps are read, the peak's cell, moved by a quarter towards its
    higher neighbours (mmpose's or HRNet's rule at the border), or refined by DARK."""
    confidence: Literal["mass", "constant"] = "mass"
    """Integral students: the softmax's mass around the joint, or 1 as in mmpose (costs AP)."""
    flip_test: Literal["none", "coordinates", "heatmaps"] = "none"
    """Average with the mirrored picture at evaluation."""
    flip_shift: Literal["exact", "cell", "none"] = "exact"
    """How far mirrored heatmaps move: the grids' offset, or a whole cell (HRNet, mmpose)."""
    coco_ap: bool = False
    """Also evaluate COCO AP with the skeleton's sigmas."""
    score: Literal["bbox", "keypoint", "bbox_keypoint", "bbox_rle"] = "bbox_keypoint"
    """COCO AP: a person's score, from its box's and its joints' (mmpose score_mode)."""
    nms: Literal["oks", "soft_oks", "none"] = "oks"
    """COCO AP: suppression of poses that are alike."""
    nms_threshold: float = 0.9
    """COCO AP: OKS from which poses are alike."""
    area_of_box: bool = False
    """COCO AP: an area that is none (CrowdPose, AI Challenger) or cannot be is .53 of the box's."""
    evaluate_every: int = 1
    """Epochs between evaluations; the last epoch is always evaluated."""

    def check(self) -> None:
        check_odd("decode_window", self.decode_window)
        if self.decode_beta is not None:
            check_positive("decode_beta", self.decode_beta)
        check_positive("nms_threshold", self.nms_threshold)
        check_positive("evaluate_every", self.evaluate_every)
