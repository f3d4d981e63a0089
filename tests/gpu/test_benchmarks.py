"""The GPU benchmarks, rehearsed on the CPU: every row is made, and nothing wrong gets a number."""

from pathlib import Path

import pytest

from benchmarks import contestants
from benchmarks.gpu import __main__ as bench
from benchmarks.inputs import Maps
from benchmarks.ops import HHD_LOSS, SOFT_ARGMAX, Op
from benchmarks.presets import KL
from kernels.samples import DEVICE

pytestmark = pytest.mark.skipif(DEVICE != "cpu", reason="make bench-gpu is the real thing")


@pytest.fixture
def small() -> bench.Bench:
    options = ["--device", "cpu", "--rounds", "2", "--cold-mib", "0", "--joints", "2"]
    return bench.Bench(bench.parse(options), (2, 16, 12), ("float32", "NCHW"))


def test_joint_loss_beside_its_contestants(
    small: bench.Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contestants, "compiled", contestants.eager)  # compiling takes a minute
    rows = {row["by"]: row for row in bench.joint_rows(small, KL, looped=True)}
    assert list(rows) == ["cpu", "eager", "torch.compile", "official loop (HHD only)"]
    assert all(row["us"] > 0 and row["launches"] > 0 for row in rows.values())
    assert rows["cpu"]["x fused"] == 1.0 < rows["eager"]["x fused"]
    assert rows["eager"]["launches"] > rows["cpu"]["launches"]


@pytest.mark.parametrize("op", [SOFT_ARGMAX, HHD_LOSS], ids=lambda op: op.name)
def test_one_op(small: bench.Bench, op: Op) -> None:
    (row,) = bench.op_rows(small, op, KL)
    bytes_of_maps = 2 * 2 * 16 * 12 * 4 * op.traffic
    assert row["GB/s"] == pytest.approx(bytes_of_maps / row["us"] / 1e3)


def test_what_is_wrong_gets_no_number(small: bench.Bench) -> None:
    def wrong(preset: object, maps: Maps) -> tuple[object, ...]:
        return tuple(2 * value for value in SOFT_ARGMAX.exact(KL, maps))

    (row,) = bench.op_rows(small, SOFT_ARGMAX._replace(exact=wrong), KL)
    assert row["by"].startswith("cpu: not timed: soft_argmax and the oracle disagree")
    assert "us" not in row


def test_without_a_gpu_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if bench.why_not() is None:
        pytest.skip("there is a GPU")
    assert bench.main(["--json", str(tmp_path / "none.json")]) == 0
    assert capsys.readouterr().out.startswith("skipped, no GPU: ")
    assert not list(tmp_path.iterdir())
