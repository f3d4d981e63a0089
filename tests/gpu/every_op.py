"""`python -m gpu.every_op [N]`: every op on small maps, for compute-sanitizer to watch.

N takes the first N shapes only; HHD_TEST_BACKENDS names the backends. Triton's half is more than
1,700 compilations, an hour or more under a sanitizer.
"""

import sys
from itertools import product

import torch

import hhd_kernels as hk
from gpu.machine import BACKENDS, MACHINE
from kernels.calls import every, value_and_gradient
from kernels.samples import DTYPES, LAYOUTS, loss_setup

# In the last, several warps share a map in every dtype.
SHAPES = [(1, 1, 1, 1), (2, 3, 5, 9), (1, 9, 33, 20), (1, 2, 41, 57)]


def main(shapes: int = len(SHAPES)) -> None:
    for backend, shape, dtype in product(BACKENDS, SHAPES[:shapes], DTYPES):
        setup = loss_setup(1, shape, dtypes=(dtype, torch.float32, torch.float32))
        with hk.use_backend(backend):
            for layout, call in product(LAYOUTS.values(), every(setup).values()):
                value_and_gradient(call, layout(setup.logits))
        MACHINE.synchronize()
        # A limit may end it: then this says how far it came.
        print(f"{backend} {shape} {dtype}", flush=True)
    print("passed")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
