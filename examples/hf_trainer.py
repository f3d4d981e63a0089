"""The loss in Hugging Face's Trainer (pip install transformers accelerate)."""

import tempfile

import torch
from torch import Tensor, nn
from transformers import Trainer, TrainingArguments

import hhd_kernels as hk
from toy import SIGMA, Spots, Student, error_in_pixels, make_batch


class Distilled(nn.Module):
    """What Trainer takes: a model whose answer holds the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.student = Student()
        self.joint = hk.IntegralHHDLoss(coordinate_unit=SIGMA)

    def forward(self, image: Tensor, heatmaps: Tensor, coords: Tensor) -> dict[str, Tensor]:
        out = self.joint(self.student(image), heatmaps, coords)
        return {"loss": out.loss, "coords": out.coords}


def train(steps: int = 60) -> float:
    """The trained student's error on new pictures, in heatmap pixels."""
    torch.manual_seed(0)
    model = Distilled()
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=16,
            learning_rate=0.01,
            lr_scheduler_type="constant",
            save_strategy="no",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        Trainer(model=model, args=arguments, train_dataset=Spots(512)).train()
    return error_in_pixels(model.student, make_batch(64, seed=10_000))


if __name__ == "__main__":
    print(f"error on new pictures: {train():.2f} heatmap pixels")
