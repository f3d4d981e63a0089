"""Where the windows lie: the teacher's peak, and the student's centre derived from it.

Sources: DARK (Zhang et al., CVPR 2020) as in HRNet and mmpose; the official HHD code for
"published"; "debiased" is the closed form of the soft-argmax bias (Gu et al., ICCV 2021) with the
background's share measured in the softmax itself.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from hhd_kernels import _library, backend, checks
from hhd_kernels.normalize import accumulator, log_softmax
from hhd_kernels.options import Locate, Refine
from hhd_kernels.soft_argmax import box, peak

MAX_BACKGROUND = 0.5
"""The largest background share the debiased centre corrects for: beyond, it is ill-conditioned."""


def locate_teacher(heatmaps: Tensor, refine: str = "none", *, blur_kernel: int = 11) -> Tensor:
    """The teacher's centre in every map: its peak, refined below the pixel if asked.

    Args:
        heatmaps: T, [B, K, H, W].
        refine: "none", or "dark": one Newton step on the log of the Gaussian-blurred map, for a
            peak with 1 < x < W-2 and 1 < y < H-2. A map whose maximum is not positive, or whose
            step is not finite, keeps its peak.
        blur_kernel: taps of the blur, odd; sigma = 0.3 ((k - 1) / 2 - 1) + 0.8, as OpenCV has it.

    Returns:
        (x, y) in heatmap pixels, on the map, [B, K, 2], float32 (float64 for float64 maps). The
        peak of a map that contains NaN is (0, 0). No gradient.
    """
    checks.maps("heatmaps", heatmaps)
    code = checks.choice("refine", refine, Refine)
    checks.odd("blur_kernel", blur_kernel)
    ops = backend.ops("locate_teacher", heatmaps)
    if ops is None:
        return teacher_reference(heatmaps, code, blur_kernel)
    return backend.straight(ops, "locate_teacher", heatmaps, code, blur_kernel)


def locate_student(
    logits: Tensor,
    teacher_centers: Tensor,
    mode: str = "peak",
    *,
    beta: float = 1.0,
    window: int | tuple[int, int] = (7, 7),
) -> Tensor:
    """The student's centre s for a teacher's centre t.

    mode:
        "peak": s = t.
        "published": s = trunc(c/(c-1) (t - 1/(2c))) with c = sum exp(S), without beta; t where
            c <= 1 or c is not finite, and never off the map by more than the window allows.
        "debiased": the peak of a student whose *expectation* is t. Per axis of length L,
            s = (t - r (L-1)/2) / (1-r), r <= 0.5 the background's share of the softmax mass, and
            exactly t in the middle of the map; |s - t| is at most half the window, and s stays on
            the map.
        A coordinate of t that is not finite stays what it is.

    Args:
        logits: S, [B, K, H, W].
        teacher_centers: t, (x, y) in heatmap pixels, [B, K, 2].
        beta: the softmax's inverse temperature ("debiased").
        window: (rows, columns).

    Returns:
        (x, y) in heatmap pixels, [B, K, 2], float32 (float64 for float64 logits). No gradient.
    """
    checks.maps("logits", logits)
    checks.like("teacher_centers", teacher_centers, "logits", logits, 2)
    code = checks.choice("mode", mode, Locate)
    beta = checks.positive("beta", beta)
    rows, columns = checks.window("window", window)
    ops = backend.ops("locate_student", logits)
    if ops is None:
        return student_reference(logits, teacher_centers, code, beta, rows, columns)
    arguments = (teacher_centers, code, beta, rows, columns)
    return backend.straight(ops, "locate_student", logits, *arguments)


def teacher_peak(maps: Tensor) -> Tensor:
    """The peaks (x, y) of teacher maps [B, K, H, W], (0, 0) in a map that contains NaN."""
    return torch.where(maps.amax(dim=(2, 3)).isnan()[..., None], 0, peak(maps))


@torch.no_grad()
def teacher_reference(heatmaps: Tensor, refine: int, blur_kernel: int) -> Tensor:
    """`locate_teacher` in plain PyTorch."""
    maps = heatmaps.to(accumulator(heatmaps))
    center = teacher_peak(maps)
    if refine == Refine.NONE:
        return center
    largest = maps.amax(dim=(2, 3))
    height, width = maps.shape[2:]
    x, y = center.unbind(-1)
    # Autocast would blur in half precision, and the step divides differences of neighbours.
    with torch.autocast(maps.device.type, enabled=False):
        step = _newton_step(_log_blurred(maps, largest, blur_kernel), center)
    interior = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    usable = interior & (largest > 0) & step.isfinite().all(-1)
    return _onto_map(torch.where(usable[..., None], center - step, center), maps)


def _log_blurred(maps: Tensor, largest: Tensor, taps: int) -> Tensor:
    """log of the blurred maps, brought back to the largest value the maps had."""
    sigma = 0.3 * ((taps - 1) * 0.5 - 1) + 0.8
    offset = torch.arange(taps, dtype=maps.dtype, device=maps.device) - (taps - 1) / 2
    kernel = (offset.square() / (-2 * sigma**2)).exp()
    kernel = kernel / kernel.sum()
    planes = maps.reshape(-1, 1, *maps.shape[2:])
    planes = F.conv2d(planes, kernel.view(1, 1, 1, taps), padding=(0, taps // 2))
    planes = F.conv2d(planes, kernel.view(1, 1, taps, 1), padding=(taps // 2, 0))
    blurred = planes.view(maps.shape)
    scale = largest / blurred.amax(dim=(2, 3))
    return (blurred * scale[..., None, None]).clamp_min(1e-10).log()


def _newton_step(f: Tensor, center: Tensor) -> Tensor:
    """Hess^-1 grad of f [B, K, H, W] at integer centers [B, K, 2]; 0 where Hess is singular."""
    height, width = f.shape[2:]
    column, row = center.long().unbind(-1)

    def at(dx: int, dy: int) -> Tensor:
        index = (row + dy).clamp(0, height - 1) * width + (column + dx).clamp(0, width - 1)
        return f.flatten(2).gather(2, index[..., None]).squeeze(-1)

    dx = 0.5 * (at(1, 0) - at(-1, 0))
    dy = 0.5 * (at(0, 1) - at(0, -1))
    dxx = 0.25 * (at(2, 0) - 2 * at(0, 0) + at(-2, 0))
    dyy = 0.25 * (at(0, 2) - 2 * at(0, 0) + at(0, -2))
    dxy = 0.25 * (at(1, 1) - at(-1, 1) - at(1, -1) + at(-1, -1))
    determinant = dxx * dyy - dxy * dxy
    step = torch.stack((dyy * dx - dxy * dy, dxx * dy - dxy * dx), dim=-1)
    return torch.where((determinant != 0)[..., None], step / determinant[..., None], 0)


@torch.no_grad()
def student_reference(
    logits: Tensor, centers: Tensor, mode: int, beta: float, rows: int, columns: int
) -> Tensor:
    """`locate_student` in plain PyTorch."""
    maps = logits.to(accumulator(logits))
    t = centers.to(maps.dtype)
    if mode == Locate.PUBLISHED:
        return _published(maps, t, (rows, columns))
    if mode == Locate.DEBIASED:
        return _debiased(maps, t, beta, (rows, columns))
    return t


def _published(maps: Tensor, t: Tensor, window: tuple[int, int]) -> Tensor:
    """The official arithmetic, kept to positions from which its crop is a whole window."""
    c = maps.exp().sum(dim=(2, 3)).double()
    x, y = t.unbind(-1)
    height, width = maps.shape[2:]
    return torch.stack(
        (_published_axis(x, c, width, window[1]), _published_axis(y, c, height, window[0])), dim=-1
    )


def _published_axis(t: Tensor, c: Tensor, length: int, cells: int) -> Tensor:
    s = c / (c - 1) * (t.double() - 1 / (2 * c))
    s = torch.where(s < 0, s.ceil(), s.floor())  # trunc, which ONNX lacks
    # An even window may start on the line past the border: its last half is then the map's end.
    furthest = length if cells % 2 == 0 else length - 1
    s = torch.where((s >= 0) & (s <= furthest), s, s.clamp(0, length - 1))
    return torch.where((c > 1) & c.isfinite() & t.isfinite(), s, t.double()).to(t.dtype)


def _debiased(maps: Tensor, t: Tensor, beta: float, window: tuple[int, int]) -> Tensor:
    height, width = maps.shape[2:]
    p = log_softmax(maps, beta).exp()
    near = box(peak(maps), window, maps)
    mass = torch.where(near, p, 0).sum(dim=(2, 3))
    inside = near.sum(dim=(2, 3))
    pixels = height * width
    r = (1 - mass) * pixels / (pixels - inside).clamp_min(1)
    r = torch.where(inside == pixels, 0, r).nan_to_num(0).clamp(0.0, MAX_BACKGROUND)
    x, y = t.unbind(-1)
    s = torch.stack(
        (_debiased_axis(x, r, width, window[1]), _debiased_axis(y, r, height, window[0])), dim=-1
    )
    return torch.where(t.isfinite(), _onto_map(s, maps), t)


def _debiased_axis(t: Tensor, r: Tensor, length: int, cells: int) -> Tensor:
    # Written so that the middle of the map stays where it is, exactly.
    s = t + (t - (length - 1) / 2) * (r / (1 - r))
    return s.clamp(t - cells / 2, t + cells / 2)


def _onto_map(centers: Tensor, maps: Tensor) -> Tensor:
    height, width = maps.shape[2:]
    x, y = centers.unbind(-1)
    return torch.stack((x.clamp(0, width - 1), y.clamp(0, height - 1)), dim=-1)


@_library.fake("locate_teacher")
def _teacher_fake(heatmaps: Tensor, refine: int, blur_kernel: int) -> Tensor:
    return heatmaps.new_empty((*heatmaps.shape[:2], 2), dtype=accumulator(heatmaps))


@_library.fake("locate_student")
def _student_fake(
    logits: Tensor, centers: Tensor, mode: int, beta: float, window_h: int, window_w: int
) -> Tensor:
    return logits.new_empty((*logits.shape[:2], 2), dtype=accumulator(logits))


_library.no_derivative("locate_teacher")
_library.no_derivative("locate_student")
