"""The torch-facing sources use what the oldest torch's headers have, and compile for a GPU too."""

import os
from pathlib import Path

import pytest
import torch

import commands
from load import names

INCLUDE = Path(torch.__file__).parent / "include"


def test_no_name_is_newer_than_the_oldest_torch() -> None:
    newer = names.names_of(INCLUDE) - names.listed()
    used = names.used_by(names.sources())
    assert {"TORCH_BOX", "parallel_for", "AOTITorchError"} <= used & names.listed()
    assert not used & newer, f"torch 2.10's headers have no {', '.join(sorted(used & newer))}"


def test_the_sources_are_all_that_include_torch() -> None:
    includes = {
        path
        for path in names.ROOT.glob("csrc/**/*")
        if path.is_file() and "<torch/" in path.read_text()
    }
    assert includes <= set(names.sources())


@pytest.mark.parametrize("source", ["csrc/cuda/torch_device.cpp", "csrc/ops/*.cpp"])
def test_the_cuda_half_compiles(source: str) -> None:
    """The build of the other tests is without CUDA and never sees it; no nvcc is needed."""
    commands.run(
        os.environ.get("CXX", "c++"),
        *("-std=c++17", "-fsyntax-only", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"),
        *("-DHHD_HAS_CUDA", "-DTORCH_STABLE_ONLY", "-DTORCH_TARGET_VERSION=0x020a000000000000ULL"),
        *("-isystem", INCLUDE),
        *sorted(names.ROOT.glob(source)),
    )
