"""Which of the CUDA code in a library a GPU runs."""

import re
from functools import cache

Capability = tuple[int, int]
"""An NVIDIA GPU's compute capability, (major, minor)."""


@cache
def serving(capability: Capability, built: tuple[str, ...]) -> str | None:
    """What such a GPU runs of `built`, for instance ("sm_90", "compute_120"); None for nothing.

    Machine code, sm, is preferred to PTX, compute, which the driver compiles; of either the latest.
    """
    served = [name for name in built if _serves(name, capability)]
    return max(served, key=lambda name: (name.startswith("sm_"), _number(name)), default=None)


def _serves(name: str, capability: Capability) -> bool:
    """The CUDA programming guide's rules of compatibility."""
    target = divmod(_number(name), 10)
    if name.endswith("a"):  # one GPU's own instructions
        return target == capability
    if name.startswith("sm_") or name.endswith("f"):  # one major version, from a minor version on
        return target[0] == capability[0] and target <= capability
    return target <= capability


def _number(name: str) -> int:
    (digits,) = re.findall(r"_(\d+)", name)
    return int(digits)


def no_code_for(capability: Capability) -> str:
    """The reason, for a user, where `serving` finds nothing."""
    major, minor = capability
    return (
        f"the library has no CUDA kernels for compute capability {major}.{minor}"
        f" (build it with HHD_CUDA_ARCHS={major}{minor})"
    )
