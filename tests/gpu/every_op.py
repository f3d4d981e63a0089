"""`python -m gpu.every_op [N]`: every op on small maps, for compute-sanitizer to watch.

N takes the first N shapes only; HHD_TEST_BACKENDS names the backends. Triton's half is 2,041
compilations, an hour or more under a sanitizer.
"""

import sys
from functools import partial
from itertools import product

import torch

import hhd_kernels as hk
from gpu.machine import BACKENDS, MACHINE
from kernels.calls import Call, every, targets_of, value_and_gradient
from kernels.samples import DTYPES, LAYOUTS, Setup, loss_setup

# In the last, several warps share a map in every dtype.
SHAPES = [(1, 1, 1, 1), (2, 3, 5, 9), (1, 9, 33, 20), (1, 2, 41, 57)]


def skipping(setup: Setup) -> list[Call]:
    """Losses that skip the first joint, whose window lies on the map's corner."""
    targets = targets_of(setup._replace(centers=setup.centers.clone()))
    targets.centers[0, 0] = 0.0
    return [
        partial(
            hk.hhd_loss,
            targets=targets,
            normalize=normalize,
            divergence=divergence,
            locate=locate,
            border="skip",
        )
        for normalize, divergence in [("softmax", "kl"), ("l2", "sse")]
        for locate in ["published", "debiased"]
    ]


def main(shapes: int = len(SHAPES)) -> None:
    for backend, shape, dtype in product(BACKENDS, SHAPES[:shapes], DTYPES):
        setup = loss_setup(1, shape, dtypes=(dtype, torch.float32, torch.float32))
        with hk.use_backend(backend):
            calls = [*every(setup).values(), *skipping(setup)]
            for layout, call in product(LAYOUTS.values(), calls):
                value_and_gradient(call, layout(setup.logits))
        MACHINE.synchronize()
        # A limit may end it: then this says how far it came.
        print(f"{backend} {shape} {dtype}", flush=True)
    print("passed")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
