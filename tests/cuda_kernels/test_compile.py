"""Every CUDA kernel compiles for every architecture and keeps to its budgets."""

import shutil
import sys
from pathlib import Path

import pytest

from cuda_kernels import budgets, compile
from cuda_kernels.budgets import Figures


@pytest.fixture(scope="module")
def objects() -> list[Path]:
    """The kernels' objects; skips where there is no CUDA compiler."""
    if reason := compile.why_not():
        pytest.skip(reason)
    return compile.build()


@pytest.fixture(scope="module")
def found(objects: list[Path]) -> dict[str, dict[str, Figures]]:
    return compile.figures(objects)


def test_budgets(found: dict[str, dict[str, Figures]]) -> None:
    assert budgets.over_budget(budgets.read(), found) == []


def test_every_kernel_is_there_for_every_architecture(
    found: dict[str, dict[str, Figures]],
) -> None:
    assert found.keys() == budgets.read().keys()
    for kernel, by_architecture in found.items():
        assert sorted(by_architecture) == sorted(compile.ARCHITECTURES), kernel


def test_later_gpus_find_ptx(objects: list[Path]) -> None:
    for path in objects:
        assert compile.ptx(path) == ["sm_120"], path.name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_joint_loss_does_not_spill(found: dict[str, dict[str, Figures]], dtype: str) -> None:
    for kernel in ("joint_loss_kernel", "held_joint_loss_kernel"):
        for architecture, figures in found[f"{kernel} {dtype}"].items():
            assert figures["stack"] == 0, architecture


def test_a_regression_is_said_with_both_figures() -> None:
    budget = {"kernel": {"sm_90": {"registers": 64, "stack": 0}}}
    worse = {"kernel": {"sm_90": {"registers": 65, "stack": 0}, "sm_80": {"registers": 1}}}
    assert budgets.over_budget(budget, worse) == [
        "kernel on sm_90: registers 65, budget 64",
        "kernel on sm_80 has no budget; it has {'registers': 1}",
    ]


def test_nvcc_may_be_that_of_nvidias_python_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvcc = tmp_path / "nvidia" / "cu13" / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.touch()
    monkeypatch.delitem(sys.modules, "nvidia", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: name if name == str(nvcc) else None)
    assert compile._nvcc() == str(nvcc)


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("_ZN3hhd4cuda3_aa14normalize_kernINS0_8BFloat16EEEvNS0_4PlanE", "normalize_kern bfloat16"),
        ("_ZN3hhd4cuda3_aa11crop_kernelIdEEvNS_4ViewE", "crop_kernel float64"),
        ("_ZN3hhd4cuda3_aa12reduce_termsEPKdS2_l", "reduce_terms"),
    ],
)
def test_names(symbol: str, name: str) -> None:
    assert compile.kernel_name(symbol) == name
