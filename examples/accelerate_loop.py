"""The loss in an accelerate loop (pip install accelerate): any number of devices, any precision.

accelerate launch accelerate_loop.py
"""

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset

import hhd_kernels as hk
from toy import SIGMA, Student, error_in_pixels, make_batch


def train(steps: int = 60) -> float:
    """The trained student's error on new pictures, in heatmap pixels."""
    torch.manual_seed(0)
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    data = make_batch(16 * steps, seed=0)
    loader = DataLoader(TensorDataset(*data.values()), batch_size=16)
    student = Student()
    optimiser = torch.optim.AdamW(student.parameters(), lr=0.01)
    student, optimiser, loader = accelerator.prepare(student, optimiser, loader)
    joint = hk.IntegralHHDLoss(coordinate_unit=SIGMA)
    for image, coords, heatmaps in loader:
        out = joint(student(image), heatmaps, coords)
        optimiser.zero_grad()
        accelerator.backward(out.loss)
        optimiser.step()
    return error_in_pixels(accelerator.unwrap_model(student), make_batch(64, seed=10_000))


if __name__ == "__main__":
    print(f"error on new pictures: {train():.2f} heatmap pixels")
