"""What a bug report needs to know of a machine, and what to do about what is wrong with it.

Needs the base install alone: what is missing is what it is asked about.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, NamedTuple

import torch

import hhd_kernels as hk
from hhd.extras import DISTRIBUTION
from hhd_kernels.info import collect

MEBIBYTE = 1 << 20


class Advice(NamedTuple):
    """Something that is not as it could be. ``wrong``: it stops something from working."""

    wrong: bool
    text: str


Check = Callable[[dict[str, Any], list[Advice]], Any]
"""What looks at one topic: the facts so far, advice to add to; its own fact."""


class Report(NamedTuple):
    """Facts by topic, and what to do."""

    facts: dict[str, Any]
    advice: list[Advice]

    @property
    def ill(self) -> bool:
        return any(advice.wrong for advice in self.advice)


def examine() -> Report:
    """Look at everything; a look that fails is a fact, too."""
    facts = collect()
    advice: list[Advice] = []
    checks: tuple[tuple[str, Check], ...] = (
        ("processor", _processor),
        ("memory", _memory),
        ("threads", _threads),
        ("compilers", _compilers),
        ("CUDA", _cuda),
        ("extras", _extras),
        ("folders", _folders),
        ("timed", _timed),
    )
    for name, check in checks:
        facts[name] = _looked(name, check, facts, advice)
    _library(facts, advice)
    return Report(facts, advice)


def _looked(name: str, check: Check, facts: dict[str, Any], advice: list[Advice]) -> Any:
    try:
        return check(facts, advice)
    except Exception as error:  # Whatever a broken machine does, the report goes on.
        advice.append(Advice(True, f"looking at {name} failed: {error}"))
        return f"{type(error).__name__}: {error}"


def _library(facts: dict[str, Any], advice: list[Advice]) -> None:
    if not isinstance(facts["ops library"], dict):
        advice.append(
            Advice(
                True,
                f"the ops run as plain PyTorch: {facts['ops library']}. Reinstall where a C++ "
                "compiler is: pip install --no-build-isolation --force-reinstall --no-deps . "
                "(HHD_BUILD=require tells why it fails)",
            )
        )
    elif (
        platform.machine() in ("x86_64", "AMD64")
        and facts["ops library"].get("cpu capability") == "portable"
    ):
        text = "the kernels run without AVX2, slower than with it"
        if os.environ.get("HHD_CPU_CAPABILITY"):
            text += "; unset HHD_CPU_CAPABILITY"
        advice.append(Advice(False, text))
    names = ("HHD_BACKEND", "HHD_CPU_CAPABILITY")
    advice += [
        Advice(False, f"{name} is {os.environ[name]}: it overrides the choice")
        for name in names
        if os.environ.get(name)
    ]


def _processor(facts: dict[str, Any], advice: list[Advice]) -> str:
    name = platform.processor() or platform.machine()
    with_names = Path("/proc/cpuinfo")
    if with_names.is_file():
        found = re.search(r"model name\s*: (.+)", with_names.read_text())
        name = found[1] if found else name
    return f"{name}, {os.cpu_count()} cores, {_usable_cores()} for this process"


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory(facts: dict[str, Any], advice: list[Advice]) -> str:
    shared = Path("/dev/shm")
    text = "unknown"
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        text = f"{size / (1 << 30):.1f} GiB"
    if shared.is_dir():
        free = shutil.disk_usage(shared).free
        text += f", {free / MEBIBYTE:.0f} MiB of shared memory"
        if free < 256 * MEBIBYTE:
            advice.append(
                Advice(
                    True,
                    f"{free / MEBIBYTE:.0f} MiB of shared memory kill data workers: docker run "
                    "--shm-size=2g, or --workers 0",
                )
            )
    return text


def _threads(facts: dict[str, Any], advice: list[Advice]) -> str:
    count, cores = torch.get_num_threads(), _usable_cores()
    if count > cores:
        advice.append(
            Advice(False, f"torch uses {count} threads on {cores} cores: OMP_NUM_THREADS={cores}")
        )
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if count > 1 and load > 1.5 * cores and "OMP_WAIT_POLICY" not in os.environ:
        text = (
            f"this machine is busy (load {load:.1f} on {cores} cores): threads that wait by "
            "spinning cost there; OMP_WAIT_POLICY=passive, or one thread"
        )
        advice.append(Advice(False, text))
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")
    given = [f"{name}={os.environ[name]}" for name in names if name in os.environ]
    return ", ".join([f"torch {count}", *given])


def _compilers(facts: dict[str, Any], advice: list[Advice]) -> str:
    tools = {
        name: _first_line([path, "--version"]) if path else "not found"
        for name in ("c++", "cmake", "ninja")
        for path in [shutil.which(name)]
    }
    return "; ".join(f"{name}: {text}" for name, text in tools.items())


def _cuda(facts: dict[str, Any], advice: list[Advice]) -> str:
    nvcc, smi = shutil.which("nvcc"), shutil.which("nvidia-smi")
    compiler = _nvcc_release(nvcc) if nvcc else None
    driver = (
        _first_line([smi, "--query-gpu=driver_version", "--format=csv,noheader"]) if smi else None
    )
    built = torch.version.cuda
    if smi and not torch.cuda.is_available():
        why = f"for CUDA {built}, maybe newer than the driver" if built else "CPU-only"
        advice.append(Advice(True, f"nvidia-smi is there and torch sees no GPU: torch is {why}"))
    major = built.split(".")[0] if built else ""
    if built and compiler and compiler.split(".")[0] != major:
        text = (
            f"nvcc is of CUDA {compiler}, torch of {built}: what it builds needs a driver of CUDA "
            f"{compiler}. Build by one of {major}: pip install 'nvidia-cuda-nvcc=={major}.*'"
        )
        advice.append(Advice(False, text))
    if torch.cuda.is_available() and "ready" not in str(facts.get("backend cuda")):
        ready = "ready" in str(facts.get("backend triton"))
        instead = "Triton's kernels run instead" if ready else "the PyTorch reference runs instead"
        advice.append(Advice(not ready, f"CUDA kernels: {facts.get('backend cuda')}; {instead}"))
    return f"torch for {built or 'CPU alone'}, nvcc {compiler or 'none'}, driver {driver or 'none'}"


def _nvcc_release(nvcc: str) -> str | None:
    text = subprocess.run([nvcc, "--version"], capture_output=True, text=True, timeout=20).stdout
    found = re.search(r"release (\d+\.\d+)", text)
    return found[1] if found else None


def _extras(facts: dict[str, Any], advice: list[Advice]) -> dict[str, str]:
    """Each extra's packages and versions, from the installed package's own metadata."""
    found: dict[str, list[str]] = {}
    missing: dict[str, list[str]] = {}
    for line in _requirements():
        match = re.match(r"([\w.-]+).*extra == ['\"]([\w-]+)['\"]", line)
        if not match:
            continue
        name, extra = match.groups()
        try:
            found.setdefault(extra, []).append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.setdefault(extra, []).append(name)
    if "train" in missing:
        advice.append(
            Advice(
                False,
                f"the ops are all there; hhd's commands need {', '.join(missing['train'])}: "
                f"pip install '{DISTRIBUTION}[train]'",
            )
        )
    return {
        extra: ", ".join(
            [*found.get(extra, []), *(f"{name} is not there" for name in missing.get(extra, []))]
        )
        for extra in sorted({*found, *missing})
    }


def _requirements() -> list[str]:
    try:
        return requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        return []


def _folders(facts: dict[str, Any], advice: list[Advice]) -> str:
    parts = []
    for what, folder in (("here", Path.cwd()), ("temporary", Path(tempfile.gettempdir()))):
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            advice.append(
                Advice(True, f"{folder} cannot be written: {error.strerror}; --output elsewhere")
            )
            parts.append(f"{what} not writable")
            continue
        free = shutil.disk_usage(folder).free
        if free < 512 * MEBIBYTE:
            advice.append(Advice(True, f"{folder} has {free / MEBIBYTE:.0f} MiB left"))
        parts.append(f"{what} writable, {free / (1 << 30):.1f} GiB free")
    return "; ".join(parts)


def _timed(facts: dict[str, Any], advice: list[Advice]) -> dict[str, str]:
    """The joint loss and its gradient, on every device that torch has."""
    times = {"cpu": _time(torch.device("cpu"))}
    for index in range(torch.cuda.device_count()):
        times[f"cuda:{index}"] = _time(torch.device("cuda", index))
    return times


def _time(device: torch.device, batch: int = 16, repeats: int = 9) -> str:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, 17, 64, 48)
    logits = torch.randn(shape, generator=generator).to(device).requires_grad_()
    teacher = torch.rand(shape, generator=generator).to(device)
    coords = (torch.rand(batch, 17, 2, generator=generator) * 40).to(device)
    joint = hk.IntegralHHDLoss()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        torch.autograd.grad(joint(logits, teacher, coords).loss, logits)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    backend = hk.explain("joint_loss", logits, teacher).backend
    return f"joint loss and gradient, {batch}x17x64x48: {min(times) * 1e3:.2f} ms on {backend}"


def _first_line(words: list[str]) -> str:
    found = subprocess.run(words, capture_output=True, text=True, timeout=20)
    lines = (found.stdout or found.stderr).strip().splitlines()
    return lines[0] if lines else "says nothing"


def lines_of(report: Report) -> Iterator[str]:
    """The report as text."""
    for topic, fact in report.facts.items():
        if isinstance(fact, dict):
            yield f"{topic}:"
            yield from (f"  {name:<18} {value}" for name, value in fact.items())
        else:
            yield f"{topic:<20} {fact}"
    yield ""
    for advice in report.advice:
        yield ("WRONG: " if advice.wrong else "note: ") + advice.text
    if not report.ill:
        yield "nothing is wrong"
