"""The Triton family without running it: its schemas, and how a CPU tensor is refused."""

import re
import sys
from pathlib import Path

import pytest
import torch

import hhd_kernels as hk

SOURCE = Path(__file__).resolve().parents[2] / "csrc" / "schema.cpp"


def plain(schema: str) -> str:
    """A schema without what only its C++ side says: names of results, the letter of an alias."""
    arguments, results = schema.replace("SymInt", "int").split(" -> ")
    results = re.sub(r"Tensor \w+", "Tensor", results)
    return re.sub(r"\(a\d*!\)", "(!)", f"{arguments} -> {results}")


def declared() -> dict[str, str]:
    """Schemas by op, from the source: the compiled library may be absent."""
    found = {}
    for definition in re.findall(r"m\.def\(\s*((?:\"[^\"]*\"\s*)+)\)", SOURCE.read_text()):
        schema = "".join(re.findall(r"\"([^\"]*)\"", definition))
        found[schema.split("(")[0]] = plain(schema)
    return found


def test_same_schemas() -> None:
    hk.joint_loss  # noqa: B018, the family is registered with the files of the ops
    for op, schema in declared().items():
        ours = str(getattr(torch.ops.hhd_triton, op).default._schema)
        assert plain(ours.removeprefix("hhd_triton::")) == schema, op
    assert len(declared()) >= 12


def test_a_cpu_tensor_is_refused() -> None:
    refused = pytest.raises(RuntimeError, match="'triton' cannot run: the tensor is on cpu")
    with hk.use_backend("triton"), refused:
        hk.soft_argmax(torch.zeros(1, 1, 2, 2))
    assert "hhd_kernels.triton.launch" not in sys.modules, "kernels are imported by the first call"


@pytest.mark.parametrize("device", ["cuda", "xpu"])
def test_gpus_without_cuda_kernels_run_triton(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An AMD or Intel GPU, or a library built without CUDA: Triton is the default there."""
    from hhd_kernels import backend

    monkeypatch.setattr(backend, "_CUDA_ABSENT", "built without CUDA kernels")
    monkeypatch.setattr(backend, "_TRITON_ABSENT", None)
    assert backend._default(torch.device(device)) == "triton"
