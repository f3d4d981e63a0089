"""The named choices of the ops.

An op takes a choice as an integer; the C++ enums in `csrc` have the same names and the same order.
The public functions take the lower-case name, for instance `"l1_positive"`.
"""

from enum import IntEnum


class Normalize(IntEnum):
    """What a map is divided by, see `hhd_kernels.normalize`."""

    NONE = 0
    L1 = 1
    L2 = 2
    SOFTMAX = 3
    L1_POSITIVE = 4


class Divergence(IntEnum):
    """How two windows are compared, see `hhd_kernels.hhd_loss`."""

    SSE = 0
    KL = 1


class Locate(IntEnum):
    """Where the student's window lies, see `hhd_kernels.locate_student`."""

    PEAK = 0
    PUBLISHED = 1
    DEBIASED = 2


class Refine(IntEnum):
    """How the teacher's peak is refined below the pixel, see `hhd_kernels.locate_teacher`."""

    NONE = 0
    DARK = 1


class Sampling(IntEnum):
    """How a window reads the map, see `hhd_kernels.crop`."""

    NEAREST = 0
    BILINEAR = 1


class Border(IntEnum):
    """What a window holds outside the map, see `hhd_kernels.crop`."""

    MIRROR = 0
    MIRROR_PUBLISHED = 1


class CoordinateLoss(IntEnum):
    """The coordinate term of `hhd_kernels.joint_loss`."""

    NONE = 0
    L1 = 1
    SMOOTH_L1 = 2
    L2 = 3


class Reduction(IntEnum):
    """How the joints' losses become one number: weighted mean, or the official sum / B."""

    MEAN = 0
    OFFICIAL = 1
