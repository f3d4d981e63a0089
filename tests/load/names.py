"""The names of the stable ABI's headers in the oldest torch we build against.

The development environment has a later torch, whose headers know more: a name that only they have
compiles here and stops a user of the oldest. `python tests/load/names.py INCLUDE >
tests/load/oldest_names.txt` writes the names of the torch headers in that folder; `make load-test`
compares them with the oldest torch's and compiles against it.
"""

import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("oldest_names.txt")
HEADERS = ("torch/csrc/stable", "torch/headeronly", "torch/csrc/inductor/aoti_torch/c")
SOURCES = ("csrc/schema.cpp", "csrc/ops/*", "csrc/cpu/*", "csrc/cuda/torch_device.*")
"""All that includes torch's headers."""

NO_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|^\s*#\s*include[^\n]*', re.S | re.M)
IDENTIFIER = r"[A-Za-z_]\w+"
# Types, enumerators and macros have a capital; other names count where they are called or declared,
# which leaves out the parameters.
NAMES = re.compile(
    rf"\b(?:(?=\w*[A-Z]){IDENTIFIER}|{IDENTIFIER}(?=\s*(?:\(|<|::))"
    rf"|(?<=class ){IDENTIFIER}|(?<=struct ){IDENTIFIER}|(?<=using ){IDENTIFIER})"
)


def code(text: str) -> str:
    return NO_CODE.sub(" ", text)


def names_of(include: Path) -> set[str]:
    """What the headers of an include folder name."""
    files = [path for folder in HEADERS for path in (include / folder).rglob("*.h")]
    if not files:
        raise SystemExit(f"{include} has none of {', '.join(HEADERS)}")
    return {name for path in files for name in NAMES.findall(code(path.read_text()))}


def listed() -> set[str]:
    return set(LIST.read_text().split())


def used_by(sources: list[Path]) -> set[str]:
    """Every identifier of our sources."""
    return {
        name for path in sources for name in re.findall(rf"\b{IDENTIFIER}", code(path.read_text()))
    }


def sources() -> list[Path]:
    return [path for pattern in SOURCES for path in sorted(ROOT.glob(pattern))]


if __name__ == "__main__":
    text = " ".join(sorted(names_of(Path(sys.argv[1]))))
    print(textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False))
