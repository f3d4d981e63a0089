"""The loss in PyTorch Lightning (pip install lightning)."""

from collections.abc import Iterator

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

import hhd_kernels as hk
from toy import SIGMA, Student, error_in_pixels, make_batch


class Batches(IterableDataset[dict[str, Tensor]]):
    """Batches without end."""

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        seed = 0
        while True:
            yield make_batch(16, seed)
            seed += 1


class Distilled(lightning.LightningModule):
    """A student that learns from labels and a teacher's maps at once."""

    def __init__(self) -> None:
        super().__init__()
        self.student = Student()
        self.joint = hk.IntegralHHDLoss(coordinate_unit=SIGMA)

    def training_step(self, batch: dict[str, Tensor], _index: int) -> Tensor:
        out = self.joint(self.student(batch["image"]), batch["heatmaps"], batch["coords"])
        self.log_dict({"coordinates": out.coordinate_loss, "maps": out.hhd_loss})
        return out.loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.student.parameters(), lr=0.01)


def train(steps: int = 60) -> float:
    """The trained student's error on new pictures, in heatmap pixels."""
    lightning.seed_everything(0, verbose=False)
    module = Distilled()
    trainer = lightning.Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, DataLoader(Batches(), batch_size=None))
    return error_in_pixels(module.student, make_batch(64, seed=10_000))


if __name__ == "__main__":
    print(f"error on new pictures: {train():.2f} heatmap pixels")
