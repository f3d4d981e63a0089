"""Keypoint data: skeletons, COCO JSON, top-down crops, augmentation, targets, generated people."""
