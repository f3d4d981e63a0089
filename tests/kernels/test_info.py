"""`python -m hhd_kernels.info`: what is built, and what of it a GPU runs."""

import os
import subprocess
import sys

import pytest
import torch

import hhd_kernels as hk
from hhd_kernels import _library, info

BUILT = ["sm_80", "sm_90", "sm_100", "sm_120", "compute_120"]


def test_a_library_without_cuda_says_why() -> None:
    if _library.has_kernels("CUDA"):
        pytest.skip("this library has CUDA kernels")
    facts = info.collect()
    reason = facts["ops library"]["cuda_absent"]
    assert reason
    assert facts["backend cuda"] == f"built without CUDA kernels: {reason}"
    with (
        hk.use_backend("cuda"),
        pytest.raises(RuntimeError, match=r"the backend 'cuda' cannot run: the tensor is on cpu"),
    ):
        hk.normalize(torch.zeros(1, 1, 2, 2, device="cpu"), "l1")


def test_cuda_architectures_are_those_of_the_library() -> None:
    facts = info.collect()["ops library"]
    built = facts.get("cuda_architectures", "") if isinstance(facts, dict) else ""
    assert " ".join(_library.cuda_architectures()) == built
    assert bool(built) == _library.has_kernels("CUDA")


def test_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    library = {"cuda_architectures": " ".join(BUILT)}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "ABC"[index])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9 - index, 0))
    monkeypatch.setattr(torch.version, "hip", None)
    assert info._gpus(library) == {"cuda:0 A": "sm_90", "cuda:1 B": "sm_80"}
    monkeypatch.setattr(torch.version, "hip", "7.0")
    assert set(info._gpus(library).values()) == {"Triton's kernels"}


def test_an_unknown_backend_is_a_line() -> None:
    command = [sys.executable, "-m", "hhd_kernels.info"]
    environment = os.environ | {"HHD_BACKEND": "best"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "none: HHD_BACKEND is 'best'" in done.stdout
