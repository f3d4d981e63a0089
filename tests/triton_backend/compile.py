"""Compiles every Triton kernel ahead of time, as the ops launch it, for GPUs that are not here.

python tests/triton_backend/compile.py [--all] [--write]

Prints one JSON object a line: the kernel's case and target, its figures, and what its IR says of
offsets. `--all` takes every case for every target, which takes minutes; without it, what `make
test` has time for. `--write` puts the figures into tests/compile_budgets.toml, in a section of this
version of Triton.
Compiled kernels are kept in build/triton, keyed by their source.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BUDGETS = ROOT / "tests" / "compile_budgets.toml"
os.environ.setdefault("TRITON_CACHE_DIR", str(ROOT / "build" / "triton"))

# This checkout's kernels, whichever one is installed.
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import torch  # noqa: E402
import triton  # noqa: E402
from torch import Tensor  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.runtime import driver  # noqa: E402

import hhd_kernels as hk  # noqa: E402
from hhd_kernels.triton import launch  # noqa: E402
from triton_backend.budgets import section  # noqa: E402

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "sm_120": GPUTarget("cuda", 120, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"

SHORT = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
BOTH = tuple(SHORT)
# What `make test` compiles: one dtype for a GPU of each maker, and the joint loss everywhere.
USUAL = ("sm_90", "gfx942")
MAPS = (4, 17, 64, 48)


class _Driver:
    """Triton's driver, as far as compiling asks: which GPU."""

    target: GPUTarget

    def get_current_device(self) -> int:
        return list(TARGETS.values()).index(self.target)

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return self.target


_driver = _Driver()
_compiled: list[Any] = []


def _compile_only(kernel: Any, count: int, like: Tensor, *arguments: Any, **options: Any) -> None:
    """In place of `launch.run`: the same arguments, and so the same specialisation."""
    options["enable_fp_fusion"] = True
    _compiled.append(kernel.warmup(*arguments, grid=(count,), **options))


def cases() -> dict[str, tuple[str, tuple[Any, ...], tuple[torch.dtype, ...]]]:
    """Op, arguments after the maps, and dtypes; the maps are `MAPS` unless the name has a size."""
    points, windows = torch.zeros(*MAPS[:2], 2), torch.zeros(*MAPS[:2], 7, 7)
    weight, factor = torch.ones(MAPS[:2]), torch.tensor(2.0)
    kl, published = (10.0, 3, 1, 0, 0, 0, 0, 1e-6), (10.0, 2, 0, 1, 0, 1, 1, 1e-6)
    bilinear = (10.0, 3, 1, 2, 1, 0, 0, 1e-6)
    coordinate = (1, 2.0, 2.0, 1.0, 1.0, 1.0, True)
    joint = (points, windows, points, weight, None, None)
    hhd = (points, windows, weight, None)
    all_dtypes = (*BOTH, torch.float16, torch.float64)
    return {
        "normalize": ("normalize", (2, 1.0, 1e-6), BOTH),
        "normalize_backward": ("normalize_backward", (2, 1.0, 1e-6), BOTH),
        "soft_argmax": ("soft_argmax", (10.0, 0), all_dtypes),
        "soft_argmax local": ("soft_argmax", (10.0, 9), BOTH),
        "soft_argmax_backward": ("soft_argmax_backward", (10.0, 0), BOTH),
        "locate_teacher dark": ("locate_teacher", (1, 11), BOTH),
        "locate_student published": ("locate_student", (points, 1, 10.0, 7, 7), BOTH),
        "locate_student debiased": ("locate_student", (points, 2, 10.0, 7, 7), BOTH),
        "crop": ("crop", (points, 7, 7, 1, 0), BOTH),
        "crop_backward": ("crop_backward", (points, 1, 0), BOTH),
        "teacher_targets": ("teacher_targets", (7, 7, 4, 0, 0, 1e-6, 0.0), BOTH),
        "hhd_loss published": ("hhd_loss", (*hhd, *published, 1.0, True), BOTH),
        "hhd_loss debiased bilinear": ("hhd_loss", (*hhd, *bilinear, 1.0, True), BOTH),
        "joint_loss": ("joint_loss", (*joint, *kl, *coordinate), all_dtypes),
        "joint_loss 64x64": ("joint_loss", (*joint, *kl, *coordinate), BOTH),
        "joint_loss channels_last": ("joint_loss", (*joint, *kl, *coordinate), BOTH),
        "joint_loss 256x192": ("joint_loss", (*joint, *kl, *coordinate), BOTH),
        "hhd_loss 24x20 transposed": ("hhd_loss", (*hhd, *kl, 1.0, True), BOTH),
        "loss_backward": ("loss_backward", (factor,), BOTH),
    }


def _maps(name: str, dtype: torch.dtype) -> Tensor:
    size = re.search(r"(\d+)x(\d+)", name)
    height, width = map(int, size.groups()) if size else MAPS[2:]
    x = torch.zeros(*MAPS[:2], height, width, dtype=dtype)
    if "transposed" in name:
        return x.transpose(2, 3).contiguous().transpose(2, 3)
    return x.to(memory_format=torch.channels_last) if "channels_last" in name else x


def _call(name: str, op: str, arguments: tuple[Any, ...], dtype: torch.dtype) -> None:
    x = _maps(name, dtype)
    if op in ("normalize_backward", "soft_argmax_backward", "crop_backward"):
        upstream = {"n": x, "s": torch.zeros(*MAPS[:2], 2), "c": torch.zeros(*MAPS[:2], 7, 7)}
        arguments = (upstream[op[0]], x, *arguments)
    elif op == "loss_backward":
        arguments = (x, *arguments, x)
    else:
        arguments = (x, *arguments)
    getattr(torch.ops.hhd_triton, op)(*arguments)


def is_usual(name: str, target: str, dtype: torch.dtype) -> bool:
    """Whether `make test` compiles a case for a target."""
    if name in ("joint_loss", "joint_loss 64x64"):
        return dtype in BOTH
    return target in USUAL and dtype == torch.bfloat16


def prepare() -> None:
    """Launches become compilations for a GPU that is not there."""
    driver.set_active(_driver)
    launch.run = _compile_only
    launch.takes_a_limit = lambda maps: _driver.target.backend == "cuda"
    _driver.target = TARGETS["sm_90"]
    Path(os.environ["TRITON_CACHE_DIR"]).mkdir(parents=True, exist_ok=True)
    hk.joint_loss  # noqa: B018, the family is registered with the files of the ops


def compiled(everything: bool) -> Iterator[dict[str, Any]]:
    """The kernels' figures, one after the other."""
    prepare()
    for target, gpu in TARGETS.items():
        _driver.target = gpu
        for name, (op, arguments, dtypes) in cases().items():
            for dtype in dtypes:
                if not everything and not is_usual(name, target, dtype):
                    continue
                _compiled.clear()
                _call(name, op, arguments, dtype)
                # The second kernel of a loss adds up its terms: the same for all of them.
                kernels = _compiled if name == "joint_loss" else _compiled[:1]
                for kernel in kernels:
                    case = "finish" if kernel is not _compiled[0] else name
                    yield {
                        "case": f"{case} {str(dtype)[6:]}",
                        "target": target,
                        "figures": figures(kernel, target),
                        "warps": kernel.metadata.num_warps,
                        "narrow offsets": narrow_offsets(kernel.asm["ttir"]),
                        "blocks of one": blocks_of_one(kernel.asm["ttir"]),
                        "stores and barriers": stores_and_barriers(kernel.asm["ttgir"]),
                    }


def figures(kernel: Any, target: str) -> dict[str, int]:
    """Registers a thread, spilled ones (NVIDIA: bytes of stack), bytes of shared memory a block,
    how many programs are resident at once, and stores in the code, fewer where they are wide."""
    if target.startswith("gfx"):
        text = kernel.asm["amdgcn"]
        stores = len(re.findall(r"\b(?:global|buffer)_store_", text))
        registers, spills = (
            int(re.findall(rf"\.{name}:\s*(\d+)", text)[-1])
            for name in ("vgpr_count", "vgpr_spill_count")
        )
    else:
        usage = _resource_usage(kernel.asm["cubin"])
        stores = kernel.asm["ptx"].count("st.global")
        registers, spills = (
            int(re.findall(rf"\b{name}:(\d+)", usage)[-1]) for name in ("REG", "STACK")
        )
    shared, warps = kernel.metadata.shared, kernel.metadata.num_warps
    programs = resident(target, registers, warps, shared)
    return {
        "registers": registers,
        "spills": spills,
        "shared": shared,
        "programs": programs,
        "stores": stores,
    }


# Warps, blocks and bytes of shared memory that a multiprocessor holds (CUDA programming guide,
# technical specifications per compute capability).
LIMITS = {
    "sm_80": (64, 32, 164 * 1024),
    "sm_90": (64, 32, 228 * 1024),
    "sm_100": (64, 32, 228 * 1024),
    "sm_120": (48, 24, 100 * 1024),
}


def resident(target: str, registers: int, warps: int, shared: int) -> int:
    """How many programs a multiprocessor (AMD: a compute unit) holds at once."""
    if target.startswith("gfx"):
        # 512 registers a lane in each of 4 SIMDs, given out in eights; at most 8 waves a SIMD.
        waves = min(8, 512 // (-(-registers // 8) * 8))
        return 4 * waves // warps
    most_warps, most_blocks, memory = LIMITS[target]
    # 16,384 registers in each quarter, whole warps of a quarter's, given out in units of 256; each
    # block takes 1 KB for itself.
    of_a_warp = -(-registers * 32 // 256) * 256
    by_registers = 4 * (16384 // of_a_warp) // warps
    return min(most_warps // warps, most_blocks, by_registers, memory // (shared + 1024))


def _resource_usage(cubin: bytes) -> str:
    path = Path(os.environ["TRITON_CACHE_DIR"]) / f"{os.getpid()}.cubin"
    path.write_bytes(cubin)
    try:
        command = [str(CUOBJDUMP), "-res-usage", str(path)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    finally:
        path.unlink()


def narrow_offsets(ttir: str) -> list[str]:
    """Lines of a kernel's IR that make an address from 32 bits, or multiply a stride in them."""
    addresses = re.compile(r"tt\.addptr .*(?:, i32|xi32>)(?: loc|$)")
    strides = re.compile(r"(?:tt\.splat|arith\.muli) .*stride\w*.*\bi32\b(?!.*\bi64\b)")
    return [
        line.strip() for line in ttir.splitlines() if addresses.search(line) or strides.search(line)
    ]


def blocks_of_one(ttir: str) -> list[str]:
    """Types of a kernel's IR that are blocks of one element, where a scalar has no layout."""
    return sorted(set(re.findall(r"tensor<1(?:x1)*x[a-z!][^>]*>", ttir)))


def stores_and_barriers(ttgir: str) -> str:
    """A kernel's stores to memory, S, and the barriers that its source asks for, B, in order."""
    found = re.findall(r"(?:tt\.|amd\w*\.buffer_)(store)\b|(?:ttg|gpu)\.(barrier)\b", ttgir)
    return "".join("S" if store else "B" for store, _ in found)


def write(lines: list[dict[str, Any]]) -> None:
    """Replace the tables of this Triton in the budgets, and nothing else of that file."""
    text = BUDGETS.read_text() if BUDGETS.exists() else ""
    tables = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
    kept = "".join(table for table in tables if not table.startswith(f"[{section()}."))
    by_case: dict[str, list[str]] = {}
    for line in lines:
        values = ", ".join(f"{name} = {value}" for name, value in line["figures"].items())
        by_case.setdefault(line["case"], []).append(f"{line['target']} = {{ {values} }}")
    new = [f'[{section()}."{case}"]\n' + "\n".join(rows) for case, rows in sorted(by_case.items())]
    BUDGETS.write_text("\n\n".join([kept.rstrip(), *new]).lstrip() + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    lines = []
    for line in compiled(options.all or options.write):
        print(json.dumps(line), flush=True)
        lines.append(line)
    if options.write:
        write(lines)


if __name__ == "__main__":
    main()
