"""The loss in a plain PyTorch loop: the ten lines that matter are in train()."""

import torch

import hhd_kernels as hk
from toy import SIGMA, Student, error_in_pixels, make_batch


def train(steps: int = 60) -> float:
    """The trained student's error on new pictures, in heatmap pixels."""
    torch.manual_seed(0)
    student = Student()  # its last convolution starts from zero maps, see toy.py
    optimiser = torch.optim.AdamW(student.parameters(), lr=0.01)
    joint = hk.IntegralHHDLoss(coordinate_unit=SIGMA)
    for step in range(steps):
        batch = make_batch(16, seed=step)
        out = joint(student(batch["image"]), batch["heatmaps"], batch["coords"])
        optimiser.zero_grad()
        out.loss.backward()
        optimiser.step()
        if step % 10 == 0:
            print(f"step {step}: coordinates {out.coordinate_loss:.3f}, maps {out.hhd_loss:.3f}")
    return error_in_pixels(student, make_batch(64, seed=10_000))


if __name__ == "__main__":
    print(f"error on new pictures: {train():.2f} heatmap pixels")
