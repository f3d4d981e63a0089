"""A library that has code for other GPUs only; what is chosen instead gives the same values."""

import pytest
import torch

import hhd_kernels as hk
from gpu.machine import MACHINE
from hhd_kernels import backend
from kernels.samples import DEVICE, loss_setup

MAPS = loss_setup(2).logits


def test_a_library_for_other_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    with hk.use_backend("reference"):
        expected = hk.normalize(MAPS, "l2")
    monkeypatch.setattr(backend, "_CUDA_ARCHITECTURES", ("sm_10",))
    chosen = hk.explain("normalize", MAPS)
    assert chosen.backend == {"cuda": "triton", "cpu": "cpu"}[DEVICE], str(chosen)
    torch.testing.assert_close(hk.normalize(MAPS, "l2"), expected)
    MACHINE.synchronize()
    reason = {"cuda": "no CUDA kernels for compute capability", "cpu": "the tensor is on cpu"}
    with hk.use_backend("cuda"), pytest.raises(RuntimeError, match=reason[DEVICE]):
        hk.normalize(MAPS, "l2")


@pytest.mark.skipif(DEVICE == "cpu", reason="a CPU has no compute capability")
def test_a_library_for_this_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for device in MACHINE.devices:
        major, minor = torch.cuda.get_device_capability(device)
        monkeypatch.setattr(backend, "_CUDA_ARCHITECTURES", (f"sm_{major}{minor}",))
        assert hk.explain("normalize", MAPS.to(device)).backend == "cuda"
