"""Generated data shared by the tests of the training package, and the folder of real data."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from kites import Kites

from hhd.data.skeleton import Skeleton, load_skeleton
from hhd.data.synthetic import write_dataset


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs; skips where it is absent."""
    root = Path(__file__).parents[2]
    folder = Path(os.environ.get("HHD_SHARED", root.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"real data is absent: no folder {folder} (set HHD_SHARED)")
    return folder


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For networks on pictures too small for several threads to be any faster."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def lsp14() -> Skeleton:
    return load_skeleton("lsp14")


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty generated pictures: images/ and annotations.json."""
    folder = tmp_path_factory.mktemp("people")
    write_dataset(folder, 20, seed=3)
    return folder


@pytest.fixture
def tiny(people: Path, tmp_path: Path) -> dict[str, Any]:
    """Overrides that make a shipped demo recipe run in a second."""
    return {
        "data_root": str(people),
        "train_annotations": "annotations.json",
        "val_annotations": "annotations.json",
        "train_images": "images",
        "val_images": "images",
        "epochs": 2,
        "batch_size": 4,
        "workers": 0,
        "evaluate_every": 2,
        "checkpoint_every": 3,
        "log_every": 1,
        "output": str(tmp_path / "run"),
    }


@pytest.fixture
def kites(tmp_path: Path) -> Kites:
    """A sound data set of one's own, to be broken."""
    return Kites(tmp_path / "kites")
