"""Every op through torch, forward and backward, on the sanitised library.

`python -m sanitize.torch_layer`, with the folder of the sanitised package first on the import path.
"""

from itertools import product
from pathlib import Path

import torch
from torch import Tensor

import hhd_kernels as hk
from hhd_kernels import _library
from sanitize.build import PACKAGE

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def every_op(maps: Tensor) -> None:
    """Forward and backward of each op on maps `[B, K, H, W]` that want a gradient."""
    b, k, h, w = maps.shape
    hk.normalize(maps, "l1").sum().backward()
    hk.soft_argmax(maps, 10.0)[0].sum().backward()
    hk.soft_argmax(maps, window=3)[0].sum().backward()
    teacher = torch.rand_like(maps)
    targets = hk.teacher_targets(teacher)
    hk.locate_teacher(teacher, "dark")
    for mode in ("published", "debiased"):
        hk.locate_student(maps, targets.centers, mode)
    hk.crop(maps, targets.centers, (8, 5), sampling="bilinear").sum().backward()
    weight = torch.ones(b, k)
    hk.hhd_loss(maps, targets, weight).backward()
    goal = torch.rand(b, k, 2) * torch.tensor([w, h])
    hk.joint_loss(maps, targets, goal, weight).loss.backward()
    hk.joint_loss_and_grad(maps.detach(), targets, goal, grad_scale=torch.tensor(2.0))
    published = hk.IntegralHHDLoss.published()
    published(maps, teacher, goal).loss.backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


def main() -> None:
    assert _library.ERROR is None, _library.ERROR
    assert Path(_library.PATH).is_relative_to(PACKAGE)
    torch.manual_seed(0)
    dtypes = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    # The last is large enough for two threads.
    for shape in [(0, 3, 4, 4), (1, 1, 1, 1), (2, 17, 5, 9), (2, 9, 64, 48)]:
        for dtype, layout in product(dtypes, LAYOUTS):
            print(shape, dtype, layout, flush=True)
            maps = torch.randn(shape).to(dtype).contiguous(memory_format=layout)
            every_op(maps.requires_grad_())
    for grad_layout, layout in product(LAYOUTS, LAYOUTS):
        print("loss_backward", grad_layout, layout, flush=True)
        grad, logits = (
            torch.ones(2, 16, 4, 5).contiguous(memory_format=m) for m in (grad_layout, layout)
        )
        result = torch.ops.hhd.loss_backward(grad, torch.tensor(2.0), logits)
        assert (result == 2).all()
    print("passed")


if __name__ == "__main__":
    main()
