"""ViTPose (Xu et al. 2022) as Hugging Face transformers has it; extra ``hhd-kernels[vitpose]``."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from hhd.extras import import_extra
from hhd.models.base import PoseModel

INPUT_SIZE = 192, 256


class ViT(NamedTuple):
    """One size of the backbone; ``part`` are the channels that ViTPose+ has of each data set."""

    hidden: int
    layers: int
    heads: int
    part: int


SIZES = {
    "s": ViT(384, 12, 12, 96),
    "b": ViT(768, 12, 12, 192),
    "l": ViT(1024, 24, 16, 256),
    "h": ViT(1280, 32, 16, 320),
}
# ViTPose+ was trained on six data sets at once; COCO's expert is the first.
EXPERTS = 6


class ViTPose(PoseModel):
    """Images [B, 3, 256, 192] -> maps [B, K, 64, 48]; its parameters carry transformers' names.

    ``simple`` has one 3x3 convolution after bilinear upsampling in place of two deconvolutions.
    ``plus`` is ViTPose+, whose layers hold an expert for each data set: COCO's is used.
    """

    stride = 4
    multiple = 16

    def __init__(self, joints: int, size: str, *, simple: bool = False, plus: bool = False) -> None:
        super().__init__()
        transformers = import_extra("transformers")
        vit = SIZES[size]
        backbone = transformers.VitPoseBackboneConfig(
            image_size=INPUT_SIZE[::-1],
            hidden_size=vit.hidden,
            num_hidden_layers=vit.layers,
            num_attention_heads=vit.heads,
            out_indices=[vit.layers],
            num_experts=EXPERTS if plus else 1,
            part_features=vit.part if plus else 0,
        )
        config = transformers.VitPoseConfig(
            backbone_config=backbone, num_labels=joints, use_simple_decoder=simple
        )
        network = transformers.VitPoseForPoseEstimation(config)
        self.plus = plus
        self.backbone = network.backbone
        self.head = network.head

    def last_convolution(self) -> nn.Conv2d:
        convolution: nn.Conv2d = self.head.conv
        return convolution

    def check_input_size(self, size: tuple[int, int]) -> None:
        """``ValueError`` unless ``size`` is (192, 256), the size of the position embeddings."""
        if tuple(size) != INPUT_SIZE:
            raise ValueError(f"input_size is {list(size)}; ViTPose takes {list(INPUT_SIZE)}")

    def forward(self, images: Tensor) -> Tensor:
        expert = torch.zeros(images.shape[0], dtype=torch.long, device=images.device)
        features = self.backbone(images, dataset_index=expert if self.plus else None)
        tokens = features.feature_maps[-1]
        rows, columns = (side // 16 for side in images.shape[2:])
        batch, _, width = tokens.shape
        # Not unflatten, which torch.onnx writes for the traced batch size alone.
        grid = tokens.transpose(1, 2).reshape(batch, width, rows, columns).contiguous()
        maps: Tensor = self.head(grid)
        return maps
