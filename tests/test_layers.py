"""The packages' floors: no import upwards and no circle, at the top of a module or within it; and
the name by which pip knows them."""

import ast
import re
from collections.abc import Iterator
from importlib.metadata import distribution, version
from pathlib import Path

import pytest

from hhd.extras import DISTRIBUTION, EXTRA_OF_MODULE, missing_extra_message

ROOT = Path(__file__).parents[1]
# The lowest first; what is not named here stands with its folder or, in hhd/, above training.
FLOORS = (
    ("hhd_kernels",),
    ("hhd.memory", "hhd.text"),
    ("hhd.checks", "hhd.extras", "hhd.console"),
    ("hhd.progress",),
    ("hhd.files",),
    ("hhd.data",),
    ("hhd.draw", "hhd.models"),
    ("hhd.teach",),
    ("hhd.evaluation",),
    ("hhd.train",),
    ("hhd.boxes", "hhd.detectors", "hhd.doctor", "hhd.video"),
    ("hhd.engines",),
    ("hhd.convert", "hhd.evaluate", "hhd.pose", "hhd.predict", "hhd.preview", "hhd.pictures"),
    ("hhd.export",),
    ("hhd.report", "hhd.teaching"),
    ("hhd.demo",),
    ("hhd.commands",),
    ("hhd.cli",),
    ("hhd.__main__",),
)


def modules(package: str) -> dict[str, Path]:
    found = {}
    for path in (ROOT / package).rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules("hhd") | modules("hhd_kernels")


def imports(module: str) -> Iterator[str]:
    """The modules of ours that one imports, wherever in it; not for type checkers alone."""
    tree = ast.parse(MODULES[module].read_text())
    hidden = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for node in ast.walk(branch)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in MODULES:
                    yield whole
                elif node.module in MODULES:
                    yield node.module


GRAPH = {module: set(imports(module)) - {module} for module in MODULES}


def floor(module: str) -> int:
    for number, names in enumerate(FLOORS):
        if any(module == name or module.startswith(f"{name}.") for name in names):
            return number
    raise AssertionError(f"{module} stands on no floor: name it in FLOORS")


def test_every_module_is_read():
    assert len(GRAPH) > 100
    assert "hhd.train.recipe" in GRAPH["hhd.commands.train"]
    assert "hhd.data.loading" in GRAPH["hhd.cli"]  # an import within a function


def test_no_arrow_points_upwards():
    upwards = [
        f"{module} -> {other}"
        for module, others in GRAPH.items()
        if module not in ("hhd", "hhd_kernels")
        for other in others
        if other != "hhd" and floor(other) > floor(module)
    ]
    assert not upwards


def test_no_circle():
    state: dict[str, int] = {}

    def visit(module: str, path: tuple[str, ...]) -> None:
        if state.get(module) == 1:
            raise AssertionError(" -> ".join((*path[path.index(module) :], module)))
        if module in state:
            return
        state[module] = 1
        for other in sorted(GRAPH[module]):
            visit(other, (*path, module))
        state[module] = 2

    for module in sorted(GRAPH):
        # A package imports its parts lazily, by name; its parts import no package of theirs.
        if module != "hhd_kernels":
            visit(module, ())


def test_the_name_of_the_distribution():
    """PyPI's hhd is another program, with the same module and command."""
    text = (ROOT / "pyproject.toml").read_text()
    assert f'name = "{DISTRIBUTION}"' in text
    metadata = distribution(DISTRIBUTION).metadata
    assert metadata["Name"] == DISTRIBUTION
    assert version(DISTRIBUTION) == metadata["Version"]
    extras = set(metadata.get_all("Provides-Extra"))
    assert set(EXTRA_OF_MODULE.values()) <= extras
    for module, extra in EXTRA_OF_MODULE.items():
        message = missing_extra_message(module)
        assert f"pip install '{DISTRIBUTION}[{extra}]'" in message
        assert f"'.[{extra}]' in a checkout" in message


@pytest.mark.parametrize("suffix", ["py", "md", "toml", "txt", "yaml", "cpp", "h", "cu", "cuh"])
def test_no_page_installs_the_stranger(suffix):
    folders = [
        ROOT / name for name in ("hhd", "hhd_kernels", "csrc", "docs", "benchmarks", "tests")
    ]
    files = [*ROOT.glob(f"*.{suffix}")]
    for folder in folders:
        files += folder.rglob(f"*.{suffix}")
    own = Path(__file__).name
    wrong = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files
        if path.name != own
        for line in path.read_text().splitlines()
        if re.search(r"\bhhd\[|pip install '?hhd\b(?!-kernels)", line)
    ]
    assert not wrong
