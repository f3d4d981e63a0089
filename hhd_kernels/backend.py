"""Which implementation runs an op: the tensor's device decides, or the user.

Explicit choices are `use_backend(...)` and, for a whole process, the environment variable
HHD_BACKEND. An explicit choice that cannot run raises; without one, an op whose kernels are absent
runs its plain-PyTorch reference, and the process is told so once. While torch.onnx.export looks at
a model every op runs its reference, which becomes ONNX's own operators.
"""

import ctypes
import os
import sys
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from hhd_kernels import _library
from hhd_kernels.architectures import Capability, no_code_for, serving

BACKENDS = ("reference", "cpu", "cuda", "triton")
OPS = (
    "normalize",
    "soft_argmax",
    "locate_teacher",
    "locate_student",
    "crop",
    "teacher_targets",
    "hhd_loss",
    "joint_loss",
)


def _named(name: str | None, source: str) -> str | None:
    if name is not None and name not in BACKENDS:
        raise ValueError(f"{source} is {name!r}; it takes one of {', '.join(map(repr, BACKENDS))}")
    return name


# A plain global: torch.compile guards on it, whereas a ContextVar breaks fullgraph=True.
_chosen: str | None = _named(os.environ.get("HHD_BACKEND") or None, "HHD_BACKEND")
_told: set[str] = set()


class use_backend:
    """Context manager: every op inside runs on `name`, "reference", "cpu", "cuda" or "triton".

    The choice holds for the whole process, other threads included. A backward pass uses what its
    forward pass used, wherever it is called.
    """

    def __init__(self, name: str) -> None:
        self._name = _named(name, "use_backend's name")
        self._before: list[str | None] = []

    def __enter__(self) -> None:
        global _chosen
        self._before.append(_chosen)
        _chosen = self._name

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        global _chosen
        _chosen = self._before.pop()


def resolve(op: str, tensor: Tensor) -> str:
    """The backend that runs `op` on `tensor`.

    Raises RuntimeError, with the reason, if the user chose one that cannot: a backend, an
    instruction set, or a kind of derivative.
    """
    device = tensor.device
    if in_onnx_export():
        if _chosen not in (None, "reference"):
            raise RuntimeError(
                f"hhd_kernels.{op}: the backend {_chosen!r} cannot run: ONNX has no operator of its"
                " kind; export without use_backend and HHD_BACKEND"
            )
        return "reference"
    if _chosen is None:
        name = _default(device)
        if name is None:
            raise RuntimeError(f"hhd_kernels.{op}: {_CAPABILITY_ERROR}")
        if name == "reference":
            _tell(device)
        else:
            _refuse_other_derivatives(op, tensor)
        return name
    reason = obstacle(_chosen, device)
    if reason is not None:
        raise RuntimeError(f"hhd_kernels.{op}: the backend {_chosen!r} cannot run: {reason}")
    if _chosen != "reference":
        _refuse_other_derivatives(op, tensor)
    return _chosen


def _default(device: torch.device) -> str | None:
    """What runs on a device's tensors unasked; None where the chosen instruction set cannot."""
    kind = device.type
    native = "cpu" if kind == "meta" else kind
    if native == "cpu":
        candidates = ["cpu"]
        if _CAPABILITY_ERROR is not None:
            return None
    else:
        candidates = [native, "triton"] if native in BACKENDS else ["triton"]
    for name in candidates:
        if obstacle(name, device) is None:
            return name
    return "reference"


def ops(op: str, tensor: Tensor) -> Any:
    """The family of ops that has `op` for `tensor`; None: its reference runs. See `resolve`."""
    name = resolve(op, tensor)
    if name == "reference":
        return None
    return torch.ops.hhd_triton if name == "triton" else torch.ops.hhd


def is_plain_eager(x: Tensor) -> bool:
    """Whether nothing traces or transforms: tracing tensors are subclasses of Tensor.

    Those that autograd.grad(is_grads_batched=True) hands to a backward pass are not.
    """
    return (
        type(x) is Tensor
        and not torch.compiler.is_compiling()
        and not in_transform()
        and not torch._C._functorch.is_legacy_batchedtensor(x)
    )


def straight(family: Any, op: str, x: Tensor, *arguments: Any) -> Any:
    """Call an op, past autograd where `x`, its only differentiable tensor, needs no derivative.

    torch.library's autograd reads the whole schema again for every argument: on small maps that
    takes longer than the op.
    """
    function = getattr(family, op)
    if (torch.is_grad_enabled() and x.requires_grad) or not is_plain_eager(x):
        return function(x, *arguments)
    with torch._C._AutoDispatchBelowAutograd():
        return function(x, *arguments)


def in_onnx_export() -> bool:
    """Whether torch.onnx.export, either exporter, looks at the model."""
    # Cheap where it does not: torch's own answer imports modules.
    looking = torch.jit.is_tracing() or torch.compiler.is_exporting()
    return looking and torch.onnx.is_in_onnx_export()


def in_transform() -> bool:
    """Whether a torch.func transform (vmap, grad, ...) runs in eager mode."""
    return not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()


def _refuse_other_derivatives(op: str, tensor: Tensor) -> None:
    """The kernels know reverse mode only; of the others torch would make zeros or riddles."""
    if torch.compiler.is_compiling():
        return
    what = None
    if torch._C._are_functorch_transforms_active():
        kinds = {level.key() for level in torch._C._functorch.get_interpreter_stack() or ()}
        if kinds - {torch._C._functorch.TransformType.Vmap}:
            what = "a derivative of torch.func"
    elif forward_ad._current_level >= 0 and forward_ad.unpack_dual(tensor).tangent is not None:
        what = "a forward-mode derivative"
    if what is not None:
        raise RuntimeError(
            f"hhd_kernels.{op}: {what} is not implemented in the fused kernels;"
            " use hhd_kernels.use_backend('reference')"
        )


_CAPABILITY_ERROR = None if _library.ERROR else _library.cpu_error()
_CPU_ABSENT = _library.ERROR or _CAPABILITY_ERROR
# A torch for AMD GPUs calls its device cuda, too.
_CUDA_ABSENT = "torch is built for AMD GPUs" if torch.version.hip else _library.cuda_error()
_CUDA_ARCHITECTURES = _library.cuda_architectures()
_CUDA_COMPILER = _library.cuda_compiler()


@torch.compiler.assume_constant_result
def obstacle(name: str, device: torch.device) -> str | None:
    """Why backend `name` cannot run on a device's tensors; None if it can."""
    if name == "reference":
        return None
    if name == "triton":
        return _triton_obstacle(device)
    kind = device.type
    if kind not in (name, "meta"):
        return f"the tensor is on {kind}"
    return _CPU_ABSENT if name == "cpu" else _cuda_obstacle(device)


@cache
def _compute_capability(device: torch.device) -> Capability | None:
    """A GPU's; None where it has none, is AMD's, or is not here, as that of a fake tensor."""
    if device.type != "cuda" or torch.version.hip or not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_capability(device)


@cache
def _driver() -> tuple[int, int]:
    """The newest CUDA that the GPU's driver runs, (13, 0); torch does not tell."""
    version = ctypes.c_int(0)
    try:
        library = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        library.cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return sys.maxsize, 0  # unknown: the launch will tell
    return version.value // 1000, version.value % 1000 // 10


def _cuda_obstacle(device: torch.device) -> str | None:
    if _CUDA_ABSENT is not None:
        return _CUDA_ABSENT
    capability = _compute_capability(device)
    if capability is None:
        return None
    if serving(capability, _CUDA_ARCHITECTURES) is None:
        return no_code_for(capability)
    # Within a major version an older driver runs what a newer compiler built.
    if _CUDA_COMPILER is not None and _driver()[0] < _CUDA_COMPILER:
        return (
            f"the CUDA kernels were built by CUDA {_CUDA_COMPILER}, and this GPU's driver runs up "
            "to CUDA {}.{}; build them by a CUDA of that version, or update the driver"
        ).format(*_driver())
    return None


_TRITON_ABSENT = None if find_spec("triton") else "triton is not installed"
_TRITON_DEVICES = ("cpu", "cuda", "xpu", "meta")  # AMD GPUs are cuda
# Its README's minimum. Triton 3.9 compiles for older GPUs, too, which nobody tests.
_TRITON_OLDEST = (8, 0)
# Triton itself reads it when a kernel is defined, that is, once.
_INTERPRETS = os.environ.get("TRITON_INTERPRET") == "1"


def _triton_obstacle(device: torch.device) -> str | None:
    if _TRITON_ABSENT is not None:
        return _TRITON_ABSENT
    kind = device.type
    if kind == "cpu" and not _INTERPRETS:
        return "the tensor is on cpu, where Triton has only an interpreter (TRITON_INTERPRET=1)"
    if kind not in _TRITON_DEVICES:
        return f"Triton has no backend for {kind}"
    capability = _compute_capability(device)
    if capability is not None and capability < _TRITON_OLDEST:
        return "Triton takes compute capability 8.0 or later, the GPU has {}.{}".format(*capability)
    return None


@torch.compiler.assume_constant_result
def _tell(device: torch.device) -> None:
    """Warn once per device type that the reference runs; also while torch.compile traces."""
    kind = device.type
    if kind in _told:
        return
    _told.add(kind)
    reason = obstacle(kind, device) if kind in BACKENDS else f"no kernels for the device {kind}"
    warnings.warn(
        f"hhd_kernels runs its plain-PyTorch reference on {kind}: {reason}."
        " `python -m hhd_kernels.info` says more; use_backend('reference') silences this.",
        RuntimeWarning,
        stacklevel=4,
    )


_NOT_MEASURED = "can run, not chosen: CUDA comes first, not because it was timed against Triton"


@dataclass(frozen=True)
class Explanation:
    """What `explain` found; `str()` of it is a short table."""

    op: str
    tensors: tuple[str, ...]
    backend: str | None
    """What would run; None if the user's choice cannot."""
    reasons: dict[str, str]
    """For each backend, why it would or would not run."""

    def __str__(self) -> str:
        lines = [f"{self.op}({', '.join(self.tensors)}) runs on {self.backend or 'nothing'}"]
        lines += [f"  {name:<10} {reason}" for name, reason in self.reasons.items()]
        return "\n".join(lines)


def explain(op: str, *tensors: Tensor) -> Explanation:
    """Say which backend would run `op` on these tensors, and why the others would not.

    Args:
        op: an op's name, for instance "soft_argmax".
        tensors: its tensors; the first decides.
    """
    if op not in OPS:
        raise ValueError(f"op is {op!r}; it takes one of {', '.join(map(repr, OPS))}")
    if not tensors or not all(isinstance(t, Tensor) for t in tensors):
        raise TypeError("explain takes the op's tensors after its name, at least one")
    device = tensors[0].device
    obstacles = {name: obstacle(name, device) for name in BACKENDS}
    if _chosen is not None:
        backend = _chosen if obstacles[_chosen] is None else None
        cause = "chosen with use_backend or HHD_BACKEND"
    else:
        backend = _default(device)
        fused = backend not in (None, "reference")
        cause = f"the default for {device.type}" if fused else "nothing faster can run"
    reasons = {
        name: f"runs: {cause}"
        if name == backend
        else f"cannot run: {reason}"
        if reason
        else _NOT_MEASURED
        if _chosen is None and {name, backend} == {"cuda", "triton"}
        else "can run, not chosen"
        for name, reason in obstacles.items()
    }
    described = tuple(f"{list(t.shape)} {str(t.dtype)[6:]} {t.device}" for t in tensors)
    return Explanation(op, described, backend, reasons)
