"""Nothing here runs without TRITON_INTERPRET=1, which must be set before Triton is imported."""

import pytest

from kernels.conftest import backend as backend
from kernels.samples import INTERPRETED

if not INTERPRETED:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many maps a program as the table says."""
    from triton_backend import interpreter

    monkeypatch.setattr(interpreter, "MAPS_OF_A_PROGRAM", 1)


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """No map fits a tile, and tiles have 4 x 8 pixels."""
    from hhd_kernels.triton import launch

    whole = launch.tile

    def tile(maps: object) -> dict[str, object]:
        return whole(maps) | {"WHOLE": False, "G": 1, "ROWS": 4, "COLUMNS": 8}

    monkeypatch.setattr(launch, "tile", tile)
