"""What is trained and evaluated on."""

from dataclasses import dataclass
from typing import Literal

from hhd.checks import check_finite, check_positive, check_sizes


@dataclass(frozen=True)
class DataFields:
    """What is trained and evaluated on."""

    data_root: str = "."
    """Folder that the paths of annotations, images and teacher maps start from."""
    train_annotations: str = "annotations/train.json"
    """What to train on: COCO-style keypoint JSON, MPII's JSON (HRNet, mmpose) or MPII's .mat."""
    val_annotations: str = "annotations/val.json"
    """What to evaluate on, in the same formats."""
    train_images: str = "images"
    """Folder of the training pictures."""
    val_images: str = "images"
    """Folder of the evaluation pictures."""
    labels: Literal["required", "optional", "ignored"] = "required"
    """Persons without a labelled joint are left out, or taught by the teacher alone (optional); or
    so is everybody (ignored)."""
    further_annotations: tuple[str, ...] = ()
    """More files to train on, each with its share of every step; labels are optional in them."""
    further_images: tuple[str, ...] = ()
    """Their pictures' folders, one for each (default: train_images for all)."""
    further_batch: tuple[int, ...] = ()
    """Crops a step from each, beside batch_size from train_annotations."""
    further_weight: tuple[float, ...] = ()
    """What a joint of each weighs in the loss beside one of train_annotations (default: 1)."""
    skeleton: str = "lsp14"
    """Shipped skeleton (coco17, mpii16, lsp14, crowdpose14, aic14) or the path of a YAML."""
    category: str | None = None
    """The persons' category, by name or id, in a file of several whose joint names do not tell."""
    images_outside: bool = False
    """Read pictures outside of their folder too, where links, .. or absolute paths lead there."""
    boxes: Literal["as_given", "hrnet", "mmpose"] = "as_given"
    """How annotated COCO boxes are cut to their pictures; hrnet makes them a pixel narrower."""
    val_detections: str | None = None
    """Evaluate on the boxes of this COCO detection JSON instead of the annotated ones."""
    detection_threshold: float = 0.0
    """Detected boxes below this score are left out."""
    detection_category: int | None = None
    """The persons' category in val_detections (default: the annotated persons')."""
    mpii_truth: str | None = None
    """Evaluate PCKh too, against MPII's gt_valid.mat (HRNet), mpii_gt_val.mat (mmpose) or .mat."""
    drop_swapped_labels: bool = False
    """Leave out training persons whose left and right look swapped (LSP Extended's ref_agree)."""

    def check(self) -> None:
        check_finite("detection_threshold", self.detection_threshold)
        files = len(self.further_annotations)
        for name in ("further_batch", "further_images", "further_weight"):
            given = len(getattr(self, name))
            if given != files and (given or name == "further_batch"):
                raise ValueError(
                    f"{name} has length {given}; it takes a value for each of the {files} "
                    "further_annotations"
                )
        if files:
            check_sizes("further_batch", self.further_batch)
        for weight in self.further_weight:
            check_positive("further_weight", weight)
        if self.val_detections is not None and self.mpii_truth is not None:
            raise ValueError(
                "val_detections and mpii_truth are both given, but PCKh is of annotated persons"
            )
