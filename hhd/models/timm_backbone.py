"""Any network of timm as a backbone; extra ``hhd-kernels[timm]``."""

from __future__ import annotations

from torch import Tensor

from hhd.extras import import_extra
from hhd.models.layers import Backbone


class TimmBackbone(Backbone):
    """The last features of the timm network ``name``; ``pretrained`` downloads its weights."""

    def __init__(self, name: str, pretrained: bool) -> None:
        super().__init__()
        timm = import_extra("timm")
        try:
            self.net = timm.create_model(
                name, pretrained=pretrained, features_only=True, out_indices=(-1,)
            )
        except RuntimeError as error:
            raise ValueError(f"model is 'timm/{name}', but timm says: {error}") from error
        self.channels = self.net.feature_info.channels()[-1]
        self.stride = self.multiple = self.net.feature_info.reduction()[-1]

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.net(images)[-1]
        # Some of its transformers put the channels last.
        return features if features.shape[1] == self.channels else features.permute(0, 3, 1, 2)
