"""What the tests of `hhd_kernels` draw from: backends, dtypes, layouts, maps and targets.

HHD_TEST_DEVICE=cuda makes a GPU torch's default device, and runs the same tests there;
TRITON_INTERPRET=1 runs them on the Triton kernels in Triton's interpreter, which is on the CPU;
HHD_TEST_BACKENDS=cuda leaves the device's other backends out.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

import oracle

Array = NDArray[np.float64]

DEVICE = os.environ.get("HHD_TEST_DEVICE", "cpu")
if DEVICE != "cpu":
    torch.set_default_device(DEVICE)
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
BACKENDS = {"cpu": ["reference", "cpu"], "cuda": ["reference", "cuda", "triton"]}[DEVICE]
if INTERPRETED:
    BACKENDS = ["triton"]
if CHOSEN := os.environ.get("HHD_TEST_BACKENDS", "").split():
    if unknown := sorted({*CHOSEN} - {*BACKENDS}):
        raise ValueError(f"HHD_TEST_BACKENDS has {unknown}; it takes some of {BACKENDS}")
    BACKENDS = CHOSEN
FUSED = [name for name in BACKENDS if name != "reference"]

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
# (student, teacher or centres, weight): what autocast and double-precision targets give.
MIXTURES = [
    (torch.float32, torch.float32, torch.float32),
    (torch.float16, torch.float16, torch.float16),
    (torch.bfloat16, torch.float32, torch.float32),
    (torch.float16, torch.float32, torch.float64),
    (torch.float32, torch.bfloat16, torch.float16),
    (torch.float32, torch.float64, torch.float32),
    (torch.float64, torch.float32, torch.bfloat16),
    (torch.float64, torch.float64, torch.float64),
]

KINDS = ["none", "l1", "l2", "softmax", "l1_positive"]
SAMPLINGS = ["nearest", "bilinear"]
BORDERS = ["mirror", "mirror_published"]
FLOORS = [0.0, 0.2, 0.9]
COORDINATE_LOSSES = ["l1", "smooth_l1", "l2"]

# (divergence, normalize, locate) of the student's side.
HHD_FORMS = [
    ("kl", "softmax", "peak"),
    ("kl", "softmax", "debiased"),
    ("sse", "l2", "published"),
    ("sse", "l1", "peak"),
    ("sse", "softmax", "published"),
    ("sse", "l1_positive", "debiased"),
    ("sse", "none", "peak"),
]


def accumulate(dtype: torch.dtype) -> torch.dtype:
    """The dtype that sums, coordinates, confidence and losses come in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def as_array(tensor: Tensor) -> Array:
    """The tensor's values in float64."""
    return tensor.detach().to("cpu", torch.float64).numpy()


def has_layout_of(grad: Tensor, logits: Tensor, backend: str) -> bool:
    """The gradient has the logits' dtype and, from a fused backend, their strides.

    The reference is plain autograd, whose strides are those of whatever came upstream.
    """
    strides = backend not in FUSED or grad.stride() == torch.empty_like(logits).stride()
    return grad.dtype == logits.dtype and strides


def random_maps(
    seed: int, shape: tuple[int, ...], style: str = "normal", scale: float = 1.0
) -> Array:
    """Maps `[B, K, H, W]`: normal noise, peaked (a bump in noise), ties (few values) or zeros."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(shape)
    if style == "normal":
        return scale * noise
    if style == "ties":
        return scale * np.round(noise)
    if style == "zeros":
        return np.zeros(shape)
    rows, columns = np.indices(shape[2:])
    x = rng.uniform(0, shape[3] - 1, (*shape[:2], 1, 1))
    y = rng.uniform(0, shape[2] - 1, (*shape[:2], 1, 1))
    bump = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 6.0)
    return scale * (bump + 0.02 * noise)


def _channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last)


def _sliced(values: Tensor) -> Tensor:
    b, k, h, w = values.shape
    base = torch.full((b, k + 1, h + 2, 2 * w + 3), torch.nan, dtype=values.dtype)
    view = base[:, 1:, 1:-1, 2 : 2 + 2 * w : 2]
    view.copy_(values)
    return view


def _transposed(values: Tensor) -> Tensor:
    return values.transpose(2, 3).contiguous().transpose(2, 3)


def _expanded(values: Tensor) -> Tensor:
    return values[:1].expand(values.shape)


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda values: values.contiguous(),
    "channels_last": _channels_last,
    "sliced": _sliced,
    "transposed": _transposed,
    "expanded": _expanded,
}


def tensor(values: Any, dtype: torch.dtype = torch.float32, layout: str = "contiguous") -> Tensor:
    """Values as a tensor of `dtype`, maps also in a layout; `expanded` repeats instance 0."""
    return LAYOUTS[layout](torch.as_tensor(np.asarray(values)).to(dtype))


class Setup(NamedTuple):
    """Everything a loss takes, as tensors."""

    logits: Tensor
    centers: Tensor
    windows: Tensor
    confidence: Tensor
    weight: Tensor | None
    target_coords: Tensor


def loss_setup(
    seed: int = 0,
    shape: tuple[int, int, int, int] = (2, 3, 16, 12),
    window: tuple[int, int] = (7, 7),
    *,
    dtypes: tuple[torch.dtype, torch.dtype, torch.dtype] = MIXTURES[0],
    layout: str = "contiguous",
    style: str = "peaked",
    scale: float = 1.0,
    weighted: bool = True,
    teacher_kind: str = "l1_positive",
    refine: str = "none",
    sampling: str = "nearest",
    border: str = "mirror",
) -> Setup:
    """Student logits beside targets that the oracle made of a teacher near them."""
    rng = np.random.default_rng(seed + 1)
    logits = tensor(random_maps(seed, shape, style, scale), dtypes[0], layout)
    teacher = random_maps(seed, shape, "peaked") + 0.02 * rng.standard_normal(shape)
    centers, windows, confidence = oracle.teacher_targets(
        teacher,
        window,
        normalize=teacher_kind,
        centers=oracle.locate_teacher(teacher, refine),
        sampling=sampling,
        border=border,
    )
    targets_dtype = accumulate(dtypes[1])
    weight = tensor(rng.choice([0.0, 0.5, 1.0, 2.0], shape[:2]), dtypes[2]) if weighted else None
    size = np.array([shape[3], shape[2]])
    return Setup(
        logits=logits,
        centers=tensor(centers, targets_dtype),
        windows=tensor(windows, targets_dtype),
        confidence=tensor(confidence, targets_dtype),
        weight=weight,
        target_coords=tensor(rng.random((*shape[:2], 2)) * size, dtypes[2]),
    )


def map_shapes(
    max_batch: int = 2, max_joints: int = 3, max_side: int = 21
) -> st.SearchStrategy[tuple[int, int, int, int]]:
    """Shapes `(B, K, H, W)` from 1x1 maps up, most not multiples of 8.

    Rows of 48 and 64 pixels, most maps' own, have code of their own on the CPU.
    """
    side = st.integers(1, max_side)
    width = side if INTERPRETED else side | st.sampled_from([48, 64])
    return st.tuples(st.integers(1, max_batch), st.integers(1, max_joints), side, width)


WINDOWS = st.tuples(st.integers(1, 11), st.integers(1, 11))
SEEDS = st.integers(0, 2**16)
STYLES = st.sampled_from(["normal", "peaked", "ties", "zeros"])
LAYOUT_NAMES = st.sampled_from(sorted(LAYOUTS))


def random_centers(seed: int, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """Centres `[B, K, 2]` on a 1/64 grid, inside the map, on its border and a little outside."""
    rng = np.random.default_rng(seed)
    size = np.array([shape[3], shape[2]], dtype=np.float64)
    centers = rng.uniform(-3.0, size + 2.0, (*shape[:2], 2))
    on_border = rng.random(centers.shape) < 0.3
    centers = np.where(on_border, rng.choice([0.0, 1.0], centers.shape) * (size - 1), centers)
    whole = rng.random(centers.shape) < 0.3
    centers = np.where(whole, np.round(centers), np.round(centers * 64) / 64)
    return tensor(centers, dtype)
