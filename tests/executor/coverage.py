"""Which lines of the CUDA device code were run, by gcov.

`python -m executor.coverage` from `tests/` lists those that the last sweep did not run.
"""

import json
import subprocess
from collections import defaultdict
from pathlib import Path

from executor import build

# What no test here can run, by its text, and why.
UNREACHABLE: dict[str, str] = {}


def counts() -> dict[Path, dict[int, int]]:
    """How often each line that holds code was run, for each source of `csrc/cuda`.

    A line of a template counts the instantiation that ran most.
    """
    folder = build.ROOT / "csrc" / "cuda"
    command = [build.compilers_own("gcov"), "--json-format", "--stdout"]
    found: dict[Path, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for data in sorted(build.SANITISED.objects.glob("*.gcda")):
        done = subprocess.run(
            [*command, data], cwd=folder, check=True, capture_output=True, text=True
        )
        for file in json.loads(done.stdout)["files"]:
            path = (folder / file["file"]).resolve()
            if path.parent != folder or path.suffix not in (".cu", ".cuh"):
                continue
            for line in file["lines"]:
                number = line["line_number"]
                found[path][number] = max(found[path][number], line["count"])
    return found


def missing() -> list[str]:
    """The lines that hold code and were not run: `file:line: text`."""
    lines = []
    for path, lines_of in sorted(counts().items()):
        text = path.read_text().splitlines()
        for number, count in sorted(lines_of.items()):
            source = text[number - 1].strip()
            if count == 0 and source not in UNREACHABLE:
                lines.append(f"{path.name}:{number}: {source}")
    return lines


if __name__ == "__main__":
    print("\n".join(missing()))
