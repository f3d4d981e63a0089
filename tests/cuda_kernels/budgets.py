"""The CUDA kernels' budgets: section [cuda] of tests/compile_budgets.toml.

A table a kernel, a line an architecture: registers a thread, and bytes of stack, where spilled ones
lie; and what machine_code.py reads. In tests/, `python -m cuda_kernels.compile --write` makes the
first two anew, `python -m cuda_kernels.machine_code --write` the others.
"""

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ARCHITECTURES = ["sm_80", "sm_90", "sm_100", "sm_120"]
Figures = dict[str, int]
FILE = Path(__file__).resolve().parents[1] / "compile_budgets.toml"


def read() -> dict[str, dict[str, Figures]]:
    """Figures by kernel and architecture."""
    budgets: dict[str, dict[str, Figures]] = tomllib.loads(FILE.read_text())["cuda"]
    return budgets


def write(found: dict[str, dict[str, Figures]]) -> None:
    """Replace the [cuda] tables but for the figures that were not found, and nothing else."""
    known = read()
    tables = re.split(r"^(?=\[)", FILE.read_text(), flags=re.MULTILINE)
    kept = "".join(table for table in tables if not table.startswith("[cuda"))
    new = []
    for kernel, by_architecture in sorted(found.items()):
        lines = [f'[cuda."{kernel}"]']
        for name in ARCHITECTURES:
            figures = known.get(kernel, {}).get(name, {}) | by_architecture[name]
            values = ", ".join(f"{key} = {n}" for key, n in figures.items())
            lines.append(f"{name} = {{ {values} }}")
        new.append("\n".join(lines))
    FILE.write_text("\n\n".join([*new, kept.strip()]).strip() + "\n")


def over_budget(
    budgets: dict[str, dict[str, Figures]], found: dict[str, dict[str, Figures]]
) -> list[str]:
    """A sentence for each figure that is worse than its budget, and each that has none."""
    sentences = []
    for kernel, by_architecture in found.items():
        for architecture, figures in by_architecture.items():
            budget = budgets.get(kernel, {}).get(architecture)
            if budget is None:
                sentences.append(f"{kernel} on {architecture} has no budget; it has {figures}")
                continue
            sentences += [
                f"{kernel} on {architecture}: {name} {value}, budget {budget[name]}"
                for name, value in figures.items()
                if value > budget[name]
            ]
    return sentences
