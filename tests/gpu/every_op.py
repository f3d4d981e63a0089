"""`python -m gpu.every_op`: every op on small maps, for compute-sanitizer to watch."""

from itertools import product

import torch

import hhd_kernels as hk
from gpu.machine import BACKENDS, MACHINE
from kernels.calls import every, value_and_gradient
from kernels.samples import DTYPES, LAYOUTS, loss_setup

SHAPES = [(1, 1, 1, 1), (2, 3, 5, 9), (1, 9, 33, 20)]


def main() -> None:
    for backend, shape, dtype in product(BACKENDS, SHAPES, DTYPES):
        setup = loss_setup(1, shape, dtypes=(dtype, torch.float32, torch.float32))
        with hk.use_backend(backend):
            for layout, call in product(LAYOUTS.values(), every(setup).values()):
                value_and_gradient(call, layout(setup.logits))
        MACHINE.synchronize()
    print("passed")


if __name__ == "__main__":
    main()
