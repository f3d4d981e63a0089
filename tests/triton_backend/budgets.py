"""The Triton kernels' budgets: section [triton_3_9] of tests/compile_budgets.toml for Triton 3.9.

A table a case, a line a target: registers a thread, spilled ones (NVIDIA: bytes of stack), bytes
of shared memory a block, how many programs a multiprocessor holds, computed from these, and the
stores in the code, a quarter or an eighth where whole vectors are stored.
`python tests/triton_backend/compile.py --write` makes those of the installed Triton anew.
"""

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Figures = dict[str, int]
FILE = Path(__file__).resolve().parents[1] / "compile_budgets.toml"


def section() -> str:
    """The installed Triton's: each version's compiler has figures of its own."""
    import triton

    return "_".join(["triton", *triton.__version__.split(".")[:2]])


def read() -> dict[str, dict[str, Figures]]:
    """Figures by case and target."""
    budgets: dict[str, dict[str, Figures]] = tomllib.loads(FILE.read_text()).get(section(), {})
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
