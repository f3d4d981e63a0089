"""What runs on a GPU for which the library may have no code; the GPUs are made up."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode

import hhd_kernels as hk
from hhd_kernels import backend, info
from hhd_kernels.architectures import serving

BUILT = ("sm_80", "sm_90", "sm_100", "sm_120", "compute_120")
T4, A10, H100, THOR = (7, 5), (8, 6), (9, 0), (11, 0)


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ((8, 0), "sm_80"),
        ((8, 9), "sm_80"),
        ((9, 0), "sm_90"),
        ((10, 3), "sm_100"),
        ((12, 1), "sm_120"),
        ((13, 0), "compute_120"),
        ((7, 5), None),
        ((11, 0), None),
    ],
)
def test_what_a_gpu_runs(capability: tuple[int, int], expected: str | None) -> None:
    assert serving(capability, BUILT) == expected


@pytest.mark.parametrize(
    ("built", "serves", "does_not"),
    [
        (("sm_86",), [(8, 6), (8, 9)], [(8, 0), (9, 0)]),
        (("compute_86",), [(8, 6), (9, 0), (12, 0)], [(8, 0), (7, 5)]),
        (("sm_90a", "compute_90a"), [(9, 0)], [(8, 9), (9, 1), (10, 0)]),
        (("sm_100f", "compute_100f"), [(10, 0), (10, 3)], [(9, 0), (11, 0), (12, 0)]),
        ((), [], [(8, 0)]),
    ],
)
def test_rules_of_compatibility(
    built: tuple[str, ...], serves: list[tuple[int, int]], does_not: list[tuple[int, int]]
) -> None:
    assert all(serving(capability, built) for capability in serves)
    assert not any(serving(capability, built) for capability in does_not)


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        (H100, "sm_90"),
        ((13, 0), "compute_120, compiled by the driver at its first use"),
        (T4, "the library has no CUDA kernels for compute capability 7.5"),
    ],
)
def test_info_says_what_a_gpu_runs(capability: tuple[int, int], expected: str) -> None:
    assert info._code(capability, " ".join(BUILT)).startswith(expected)


@pytest.fixture
def on_gpu(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[torch.Tensor]:
    """Maps, without data, on a GPU of the given capability, beside a library built for BUILT."""
    monkeypatch.setattr(backend, "_CUDA_ABSENT", None)
    monkeypatch.setattr(backend, "_CUDA_ARCHITECTURES", BUILT)
    monkeypatch.setattr(backend, "_TRITON_ABSENT", None)
    monkeypatch.setattr(backend, "_chosen", None)
    monkeypatch.setattr(backend, "_told", set())
    monkeypatch.setattr(
        backend,
        "_compute_capability",
        lambda device: request.param if device.type == "cuda" else None,
    )
    with FakeTensorMode():
        yield torch.empty(1, 2, 3, 4, device="cuda")


@pytest.mark.parametrize(
    ("on_gpu", "runs"), [(A10, "cuda"), (H100, "cuda"), (THOR, "triton")], indirect=["on_gpu"]
)
def test_the_default_has_code_for_the_gpu(on_gpu: torch.Tensor, runs: str) -> None:
    assert hk.explain("normalize", on_gpu).backend == runs
    assert hk.normalize(on_gpu, "l2").shape == on_gpu.shape


@pytest.mark.parametrize("on_gpu", [T4], indirect=True)
def test_a_gpu_without_any_kernels_runs_the_reference(on_gpu: torch.Tensor) -> None:
    reasons = hk.explain("normalize", on_gpu).reasons
    assert reasons["reference"].startswith("runs")
    assert "no CUDA kernels for compute capability 7.5" in reasons["cuda"]
    assert "Triton takes compute capability 8.0 or later, the GPU has 7.5" in reasons["triton"]
    with pytest.warns(RuntimeWarning, match=r"no CUDA kernels .* HHD_CUDA_ARCHS=75"):
        assert hk.normalize(on_gpu, "l2").shape == on_gpu.shape


@pytest.mark.parametrize("on_gpu", [T4, THOR], indirect=True)
def test_cuda_chosen_without_code_is_one_sentence(on_gpu: torch.Tensor) -> None:
    sentence = (
        r"^hhd_kernels\.normalize: the backend 'cuda' cannot run: the library has no CUDA kernels"
        r" for compute capability (7\.5|11\.0) \(build it with HHD_CUDA_ARCHS=(75|110)\)$"
    )
    with hk.use_backend("cuda"), pytest.raises(RuntimeError, match=sentence):
        hk.normalize(on_gpu, "l2")


def test_a_gpu_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.cuda, "get_device_capability", lambda device: asked.append(device) or T4
    )
    first, second = torch.device("cuda", 61), torch.device("cuda", 62)
    try:
        for device in (first, second, first, second):
            assert backend._compute_capability(device) == T4
        assert asked == [first, second]
    finally:
        backend._compute_capability.cache_clear()


@pytest.mark.parametrize("on_gpu", [H100], indirect=True)
@pytest.mark.parametrize(("driver", "runs"), [((12, 8), "triton"), ((13, 0), "cuda")])
def test_a_driver_older_than_the_compiler(
    on_gpu: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
    driver: tuple[int, int],
    runs: str,
) -> None:
    """The launch would fail; of the same major version an older one runs it."""
    monkeypatch.setattr(backend, "_CUDA_COMPILER", 13)
    monkeypatch.setattr(backend, "_driver", lambda: driver)
    explained = hk.explain("normalize", on_gpu)
    assert explained.backend == runs
    if runs == "triton":
        assert (
            "were built by CUDA 13, and this GPU's driver runs up to CUDA 12.8; build"
            in (explained.reasons["cuda"])
        )


def test_the_driver_is_asked_by_its_own_library(monkeypatch: pytest.MonkeyPatch) -> None:
    class Driver:
        @staticmethod
        def cuDriverGetVersion(pointer: Any) -> int:
            pointer._obj.value = 12080
            return 0

    def absent(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    for library, expected in ((lambda _: Driver, (12, 8)), (absent, (sys.maxsize, 0))):
        backend._driver.cache_clear()
        monkeypatch.setattr(backend.ctypes, "CDLL", library)
        assert backend._driver() == expected
    backend._driver.cache_clear()
