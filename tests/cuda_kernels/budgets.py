"""The CUDA kernels' budgets: section [cuda] of tests/compile_budgets.toml.

A table a kernel, a line an architecture: registers a thread, and bytes of stack, where spilled ones
lie. `cd tests && python -m cuda_kernels.compile --write` makes them anew.
"""

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Figures = dict[str, int]
FILE = Path(__file__).resolve().parents[1] / "compile_budgets.toml"


def read() -> dict[str, dict[str, Figures]]:
    """Figures by kernel and architecture."""
    budgets: dict[str, dict[str, Figures]] = tomllib.loads(FILE.read_text())["cuda"]
    return budgets


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
