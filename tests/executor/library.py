"""The executor's library: launchers on arrays, and what the executor saw."""

import ctypes
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from sanitize.calls import LossArgs, LossViews
from sanitize.memory import Array, View

LIMIT = 227 << 10
"""Of the shared memory that a block may ask for, in bytes: sm_90's."""
WARP = 32
"""Threads."""
FORWARD, REVERSE, RANDOM = range(3)
ORDERS = [(FORWARD, 0), (REVERSE, 0), (RANDOM, 1)]
"""Which thread goes on where several can, and a seed."""
PLANTS = [
    *("none", "barrier skipped", "lane forgotten", "read beyond", "store dropped"),
    "order forgotten",
]
SELFTESTS = ["sums", "turned", "strided", "wrong"]
WRONGS = [
    *("early return", "divergent barriers", "absent lanes", "foreign lane", "other mask"),
    *("copy not awaited", "write race", "read race", "blocks race", "past the load"),
    *("input written", "misaligned", "beyond shared", "uninitialised"),
]
"""What the kernel "wrong" of `selftest.cu` does."""
KINDS = ["barrier", "warp barrier", "shuffle", "load", "store", "count", "see counted"]


class ExecutorError(AssertionError):
    """What a kernel did that it must not."""


class LossReduction(ctypes.Structure):
    """`hhd::cuda::LossReduction`."""

    _fields_ = (
        ("kind", ctypes.c_int64),
        ("grad_scale", View),
        ("loss", View),
        ("coordinate_loss", View),
        ("hhd_loss", View),
        ("scratch", ctypes.c_void_p),
    )


class Memory(NamedTuple):
    """Global memory that a call may read, or write as well."""

    name: str
    address: int | None
    size: int
    """In bytes."""
    writable: bool

    @classmethod
    def of(cls, name: str, array: Array, writable: bool) -> "Memory":
        address = array.memory.ctypes.data if array.memory.size else None
        return cls(name, address, array.memory.size, writable)


class Site(NamedTuple):
    """A barrier, shuffle, load or store in the kernels' sources."""

    kind: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.kind} {Path(self.file).name}:{self.line}"


class Sectors(NamedTuple):
    """32-byte sectors of one array in one launch, as `memory.h` counts them."""

    read: int
    read_requested: int
    written: int
    written_requested: int


class Launch(NamedTuple):
    """One launch of a kernel and the sectors of each array."""

    kernel: str
    blocks: int
    threads: int
    shared: int
    """Bytes of shared memory a block."""
    arrays: dict[str, Sectors]


class Library:
    """A built variant, loaded."""

    def __init__(self, path: Path, *, watch: bool = True) -> None:
        """With `watch`, global memory is known to the executor: bounds, races, traffic, sites."""
        self._path, self._watch = path, watch
        self._c = ctypes.CDLL(str(path))
        self._names: dict[int, str] = {}
        self._c.hhd_loss_scratch_bytes.restype = ctypes.c_int64
        for name in ("sites", "traffic"):
            getattr(self._c, f"hhd_{name}").restype = ctypes.c_char_p
        mirrors = {"view": View, "loss_views": LossViews, "loss_args": LossArgs}
        for name, mirror in {**mirrors, "loss_reduction": LossReduction}.items():
            size = getattr(self._c, f"hhd_{name}_bytes")
            size.restype = ctypes.c_int64
            assert size() == ctypes.sizeof(mirror), f"{mirror.__name__} differs from the C++ one"
        self.reset()

    def reset(self) -> None:
        """No bug, races found, threads forward, the memory of a large GPU, nothing reported."""
        self.limit = LIMIT
        self.find_races, self.count_traffic = self._watch, False
        self.plant("none")
        self.order(*ORDERS[0])
        self.traffic()
        self.sites()

    def traffic_only(self) -> None:
        """Count sectors, and find no races: that takes longer."""
        self.find_races, self.count_traffic = False, True
        self.order(*ORDERS[0])

    def reset_order(self) -> None:
        """Forward, with what the attributes say."""
        self.order(*ORDERS[0])

    def order(self, order: int, seed: int = 0) -> None:
        """The order of the threads from now on, and what the attributes say."""
        settings = (order, seed, self.limit, self.find_races, self.count_traffic)
        self._c.hhd_set(*map(ctypes.c_int64, settings))

    def call(self, op: str, memories: Iterable[Memory], *args: Any) -> None:
        """Run a launcher; raise ExecutorError where its kernels go wrong."""
        function = getattr(self._c, f"hhd_{op}")
        function.restype = ctypes.c_char_p
        for m in memories:
            if m.address and self._watch:
                data, size = ctypes.c_void_p(m.address), ctypes.c_int64(m.size)
                self._c.hhd_expose(m.name.encode(), data, size, ctypes.c_int64(m.writable))
        try:
            error = function(*args)
        finally:
            self._c.hhd_hide_all()
        if error is not None:
            raise ExecutorError(f"{op}: {re.sub('<([0-9]+)>', self._line, error.decode())}")

    def loss_scratch(self, joints: int) -> int:
        """Bytes that the loss wants for so many joints."""
        size: int = self._c.hhd_loss_scratch_bytes(ctypes.c_int64(joints))
        return size

    def plant(self, bug: str, at: Site | None = None) -> None:
        """A bug of PLANTS at a site, from now on."""
        at = at or Site("", "", 0)
        number, line = ctypes.c_int64(PLANTS.index(bug)), ctypes.c_int64(at.line)
        self._c.hhd_plant(number, at.file.encode(), line)

    def choose(self, bug: int) -> None:
        """A bug of `bugs.py` by its number from 1, or none, in a library that holds them."""
        self._c.hhd_choose(ctypes.c_int64(bug))

    def selftest(
        self, kernel: str, x: Array, out: Array, blocks: int, n: int, threads: int = 64
    ) -> None:
        """Run a kernel of `selftest.cu`; `n` is what it takes."""
        sizes = [ctypes.c_int64(size) for size in (blocks, threads, n)]
        memories = [Memory.of("x", x, False), Memory.of("out", out, True)]
        views = [ctypes.byref(array.view) for array in (x, out)]
        self.call("selftest", memories, ctypes.c_int64(SELFTESTS.index(kernel)), *views, *sizes)

    def sites(self) -> set[Site]:
        """Every site that was run since the last call of this."""
        lines = (line.split() for line in self._c.hhd_sites().decode().splitlines())
        return {Site(KINDS[int(kind)], file, int(line)) for kind, file, line in lines}

    def traffic(self) -> list[Launch]:
        """The launches since the last call of this; sectors only with `count_traffic`."""
        launches: list[Launch] = []
        for line in self._c.hhd_traffic().decode().splitlines():
            what, name, *numbers = line.split()
            if what == "launch":
                launches.append(Launch(self._symbol(int(name)), *map(int, numbers), {}))
            else:
                launches[-1].arrays[name] = Sectors(*map(int, numbers))
        return launches

    def _line(self, offset: re.Match[str]) -> str:
        """Where the code at an offset comes from, innermost first."""
        command = ["addr2line", "-i", "-s", "-e", str(self._path), hex(int(offset.group(1)))]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return " < ".join(line.split(" (")[0] for line in lines.splitlines())

    def _symbol(self, offset: int) -> str:
        """The kernel's name, from the library's symbols: it is local to its file."""
        if not self._names:
            command = ["nm", "--demangle", str(self._path)]
            listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            for line in listing.splitlines():
                address, _, name = line.strip().partition(" ")
                if name[:2].lower() == "t ":
                    self._names[int(address, 16)] = name[2:]
        name = self._names[offset].replace("(anonymous namespace)::", "")
        return name.split("(")[0].replace("hhd::cuda::", "")
