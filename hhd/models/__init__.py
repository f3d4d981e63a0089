"""Networks: each takes images [B, 3, H, W] and gives maps [B, K, H / stride, W / stride]."""

from hhd.models.build import MODELS, build_model

__all__ = ["MODELS", "build_model"]
