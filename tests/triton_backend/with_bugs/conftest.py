"""The Triton kernels of this process are a copy, with every bug to be chosen."""

from pathlib import Path

import pytest

from kernels.samples import INTERPRETED
from planted import plant

if not INTERPRETED:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def copied(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Before any of them is imported."""
    import hhd_kernels.triton
    from triton_backend import bugs

    (source,) = map(Path, hhd_kernels.triton.__path__)
    copy = tmp_path_factory.mktemp("triton")
    plant(bugs.BUGS, source, copy, bugs.CHOICE)
    for path in copy.glob("*.py"):
        text = path.read_text()
        path.write_text(text.replace("\nimport ", "\nfrom triton_backend import bugs\nimport ", 1))
    hhd_kernels.triton.__path__[:] = [str(copy)]

    from triton_backend import interpreter

    interpreter.repair()
