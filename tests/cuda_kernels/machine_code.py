"""What the CUDA kernels became in machine code: how wide they access memory, and at what cost.

cd tests && python -m cuda_kernels.machine_code [--write] [KERNEL]

Prints for each kernel and architecture the bytes of its code, its global accesses of single bytes,
its accesses of a place that may be in any memory, those of 16 bytes by instruction, and hot code:
innermost loops that access 16 bytes at a time, and rows of such accesses where a loop was unrolled,
each with its instructions per access. A row of exponentials counts as many of them as a vector has.
A map that registers hold is gone through in four rows, whose sum is `vector`. `--write` puts the
figures into tests/compile_budgets.toml.
"""

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import commands
from cuda_kernels import budgets, compile
from cuda_kernels.budgets import Figures

LANES = {"float32": 4, "float64": 2, "float16": 8, "bfloat16": 8}
"""Elements of 16 bytes."""
HELD = {"LDG", "STS", "MUFU.EX2", "STG"}
"""A map that registers hold is asked for, staged, its softmax taken and its gradient written."""
UNROLLED = 4
"""A row of accesses has at least so many."""


LINE = re.compile(r"\s+/\*([0-9a-f]{4,})\*/\s+(?:@!?U?P\w+ )?\s*([^\s;]+)([^;]*);")
"""Address, instruction and operands."""


class Instruction(NamedTuple):
    """One line of a disassembly."""

    address: int
    name: str
    """With its modifiers: `LDG.E.128`."""
    target: int | None
    """Of a branch."""

    @property
    def is_wide(self) -> bool:
        return re.match(r"(LDG|STG|LDS|STS|LDGSTS)\b.*\.128\b", self.name) is not None

    @property
    def is_global_byte(self) -> bool:
        return re.match(r"(LDG|STG|LD|ST)\b.*\.[US]8\b", self.name) is not None

    @property
    def is_generic(self) -> bool:
        return re.match(r"(LD|ST)\b", self.name) is not None


Code = dict[str, dict[str, list[Instruction]]]
"""By kernel and architecture."""


class Hot(NamedTuple):
    """Code that a thread runs for every vector of its map."""

    what: str
    name: str
    """Of the accesses."""
    per_vector: float
    """Instructions."""


def parse(listing: str) -> Code:
    """What `cuobjdump --dump-sass` printed of one object."""
    found: Code = defaultdict(dict)
    architecture, instructions = "", list[Instruction]()
    for line in listing.splitlines():
        if match := re.search(r"arch = (\w+)", line):
            architecture = match[1]
        elif match := re.search(r"Function : (\S+)", line):
            instructions = found[compile.kernel_name(match[1])][architecture] = []
        elif match := LINE.match(line):
            to = re.search(r"0x([0-9a-f]+)", match[3]) if match[2].startswith("BRA") else None
            target = int(to[1], 16) if to else None
            instructions.append(Instruction(int(match[1], 16), match[2], target))
    return found


def disassemble(objects: list[Path]) -> Code:
    """Every kernel's code."""
    found: Code = {}
    for path in objects:
        found |= parse(commands.run(compile.cuobjdump(), "--dump-sass", path))
    return found


def figures(code: Code) -> dict[str, dict[str, Figures]]:
    """Bytes of code, global accesses of single bytes, generic ones, instructions a held vector."""
    return {
        kernel: {name: _figures(of, lanes(kernel)) for name, of in by_architecture.items()}
        for kernel, by_architecture in code.items()
    }


def _figures(of: list[Instruction], lanes: int) -> Figures:
    found = {
        "code": size(of),
        "bytes": sum(i.is_global_byte for i in of),
        "generic": sum(i.is_generic for i in of),
    }
    first = {hot.name: hot.per_vector for hot in reversed([*rows(of, lanes)])}
    if first.keys() >= HELD:
        found["vector"] = round(sum(first[name] for name in HELD))
    return found


def lanes(kernel: str) -> int:
    """Elements of a vector."""
    return LANES.get(kernel.split()[-1], 4)


def size(of: list[Instruction]) -> int:
    """In bytes, without what pads it."""
    last = max(n for n, i in enumerate(of) if i.name != "NOP")
    return of[last].address + 16


def wide(of: list[Instruction]) -> Counter[str]:
    """How often each instruction accesses 16 bytes."""
    return Counter(i.name.split(".")[0] for i in of if i.is_wide)


def loops(of: list[Instruction]) -> Iterator[Hot]:
    """Innermost loops that access 16 bytes at a time."""
    back = [(i.target, i.address) for i in of if i.target is not None and i.target < i.address]
    for start, end in back:
        if any(start <= s and e <= end and (s, e) != (start, end) for s, e in back):
            continue
        body = [i for i in of if start <= i.address <= end]
        if accesses := wide(body):
            what = "loop of " + ", ".join(f"{n} {name}" for name, n in sorted(accesses.items()))
            name, vectors = accesses.most_common(1)[0]
            yield Hot(what, name, len(body) / vectors)


def rows(of: list[Instruction], lanes: int) -> Iterator[Hot]:
    """Accesses of one kind behind one another, with nothing that waits for others between."""
    for name in ("LDG", "STS", "MUFU.EX2", "LDS", "STG"):
        each = lanes if name.startswith("MUFU") else 1
        row: list[int] = []
        for n, i in enumerate([*of, Instruction(0, "BAR", None)]):
            if i.name.startswith("BAR") or (i.target is not None and i.target < i.address):
                if len(row) >= UNROLLED * each:
                    steps = (len(row) - 1) / each
                    yield Hot(f"row of {len(row)} {name}", name, (row[-1] - row[0]) / steps)
                row = []
            elif i.name.startswith(name) and (i.is_wide or each > 1):
                row.append(n)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kernel", nargs="?", default="", help="only those with this in their name")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if reason := compile.why_not():
        sys.exit(reason)
    code = disassemble(compile.build())
    for kernel, by_architecture in sorted(code.items()):
        if options.kernel not in kernel:
            continue
        for name, of in by_architecture.items():
            numbers = ", ".join(f"{n} {key}" for key, n in _figures(of, lanes(kernel)).items())
            accesses = " ".join(f"{what}.128 {n}" for what, n in sorted(wide(of).items()))
            print(f"{kernel:38} {name:7} {numbers}, {accesses}")
            for hot in [*loops(of), *rows(of, lanes(kernel))]:
                print(f"    {hot.what}: {hot.per_vector:.0f} instructions a vector")
    if options.write:
        budgets.write(figures(code))


if __name__ == "__main__":
    main()
