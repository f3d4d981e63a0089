"""The Triton kernels' budgets: section [triton] of tests/compile_budgets.toml.

A table a case, a line a target: registers a thread, spilled ones (NVIDIA: bytes of stack), bytes
of shared memory a block, and how many programs a multiprocessor holds, computed from these.
`python tests/triton_backend/compile.py --write` makes them anew.
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
    """Figures by case and target."""
    budgets: dict[str, dict[str, Figures]] = tomllib.loads(FILE.read_text())["triton"]
    return budgets


def over_budget(
    budgets: dict[str, dict[str, Figures]], case: str, target: str, figures: Figures
) -> list[str]:
    """A sentence for each figure that is worse than its budget."""
    budget = budgets.get(case, {}).get(target)
    if budget is None:
        return [f"{case} on {target} has no budget; it has {figures}"]
    return [
        f"{case} on {target}: {name} {value}, budget {budget[name]}"
        for name, value in figures.items()
        if (value < budget[name] if name == "programs" else value > budget[name])
    ]
