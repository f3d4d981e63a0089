"""The loss in mmengine (pip install mmengine), and so in mmpose and mmrazor.

``CropbiasLoss`` here takes the place of the official HHD code's class of that name in its own
configuration: the same arguments, ``forward(s_feature, t_feature)``, the same values, one fused op
instead of a loop over joints. Name this file in the configuration's ``custom_imports``. For our
default, ``type="KLDistillation"``.
"""

import tempfile

import torch
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

import hhd_kernels as hk
from toy import SIGMA, Spots, Student, error_in_pixels, make_batch

NORMS = {1: "l1", 2: "l2"}


@MODELS.register_module(force=True)
class CropbiasLoss(nn.Module):
    """The official loss by its own arguments; ``t`` and ``mode`` change nothing there either."""

    def __init__(
        self,
        loss_weight: float = 1.0,
        mode: int = 2,
        ifsoftmax: int = 0,
        normalize: int = 0,
        norm_mode_s: int = 2,
        norm_mode_t: int = 2,
        crop_size: tuple[int, int] = (8, 8),
        t: float = 10.0,
    ) -> None:
        super().__init__()
        if ifsoftmax not in (0, 1, 2) or mode not in (1, 2) or normalize:
            raise ValueError(
                f"ifsoftmax is {ifsoftmax}, mode {mode}, normalize {normalize}; this takes 0 to 2, "
                "1 or 2, and 0"
            )
        norms = [NORMS.get(norm, "none") for norm in (norm_mode_s, norm_mode_t)]
        pair = {0: norms, 1: ["softmax"] * 2, 2: ["none"] * 2}[ifsoftmax]
        self.loss = hk.HHDLoss.published(tuple(crop_size), tuple(pair), weight=loss_weight)

    def forward(self, s_feature: Tensor, t_feature: Tensor) -> Tensor:
        """The loss of the student's logits and the teacher's heatmaps, [B, K, H, W] each."""
        return self.loss(s_feature, t_feature)


@MODELS.register_module()
class KLDistillation(nn.Module):
    """Our default: KL of windows and a rest bin."""

    def __init__(self, loss_weight: float = 10.0, beta: float = 10.0, window: int = 7) -> None:
        super().__init__()
        self.loss = hk.HHDLoss(beta, window=window, weight=loss_weight)

    def forward(self, s_feature: Tensor, t_feature: Tensor) -> Tensor:
        """The loss of the student's logits and the teacher's heatmaps, [B, K, H, W] each."""
        return self.loss(s_feature, t_feature)


class Distilled(BaseModel):
    """A student with a loss from a configuration."""

    def __init__(self, distillation: dict[str, object]) -> None:
        super().__init__()
        self.student = Student()
        self.distillation = MODELS.build(distillation)

    def forward(
        self, image: Tensor, coords: Tensor, heatmaps: Tensor, mode: str = "loss"
    ) -> dict[str, Tensor]:
        logits = self.student(image)
        found, _ = hk.soft_argmax(logits, beta=10.0)
        return {
            "loss_coordinates": (found - coords).abs().mean() / SIGMA,
            "loss_distillation": self.distillation(s_feature=logits, t_feature=heatmaps),
        }


def train(steps: int = 60, distillation: dict[str, object] | None = None) -> float:
    """The trained student's error on new pictures, in heatmap pixels."""
    torch.manual_seed(0)
    model = Distilled(distillation or {"type": "KLDistillation"})
    runner = Runner(
        model,
        work_dir=tempfile.mkdtemp(),
        train_dataloader=DataLoader(Spots(512), batch_size=16, shuffle=True),
        train_cfg={"by_epoch": False, "max_iters": steps},
        optim_wrapper={"optimizer": {"type": "AdamW", "lr": 0.01}},
        default_hooks={"checkpoint": None, "logger": {"type": "LoggerHook", "interval": 20}},
        randomness={"seed": 0},
    )
    runner.train()
    return error_in_pixels(model.student, make_batch(64, seed=10_000))


if __name__ == "__main__":
    print(f"error on new pictures: {train():.2f} heatmap pixels")
