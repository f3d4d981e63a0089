"""The GPU benchmarks, rehearsed on the CPU: every row is made, and nothing wrong gets a number."""

import json
from pathlib import Path

import pytest

from benchmarks import contestants
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import bench, plan, predictions
from benchmarks.gpu.rows import Rows
from benchmarks.inputs import Maps
from benchmarks.ops import HHD_LOSS, SOFT_ARGMAX, Op
from benchmarks.presets import KL, Preset
from kernels.samples import DEVICE

pytestmark = pytest.mark.skipif(DEVICE != "cpu", reason="make gpu STAGE=d is the real thing")

OPTIONS = ["--device", "cpu", "--rounds", "2", "--cold-mib", "0", "--joints", "2"]
TIMES = ("host us", "step us", "graph us")


@pytest.fixture
def small() -> bench.Bench:
    return bench.Bench(command.parse(OPTIONS), (2, 16, 12), ("float32", "NCHW"))


def test_joint_loss_beside_its_contestants(
    small: bench.Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contestants, "compiled", contestants.eager)  # compiling takes a minute
    rows = {row["by"]: row for row in bench.compiled_rows(small, KL)}
    assert list(rows) == ["cpu", "eager", "torch.compile"]
    assert all(row[time] > 0 for row in rows.values() for time in TIMES)
    assert rows["cpu"]["x fused"] == 1.0 < rows["eager"]["x fused"]
    assert rows["eager"]["launches"] > rows["cpu"]["launches"] > 0


def test_the_loop_has_no_graph(small: bench.Bench) -> None:
    (row,) = bench.loop_rows(small, KL)
    assert row["by"] == bench.LOOP
    assert row["step us"] > 0
    assert not {"graph us", "GB/s"} & set(row)


@pytest.mark.parametrize(
    "op", [SOFT_ARGMAX, HHD_LOSS, bench.LOSS_AND_GRAD, bench.NO_WEIGHT], ids=lambda op: op.name
)
def test_one_op(small: bench.Bench, op: Op) -> None:
    (row,) = bench.op_rows(small, op, KL, "cpu")
    bytes_of_maps = 2 * 2 * 16 * 12 * 4 * op.traffic
    assert row["GB/s"] == pytest.approx(bytes_of_maps / row["graph us"] / 1e3)


def test_what_is_wrong_gets_no_number(small: bench.Bench) -> None:
    def wrong(preset: object, maps: Maps) -> tuple[object, ...]:
        return tuple(2 * value for value in SOFT_ARGMAX.exact(KL, maps))

    (row,) = bench.op_rows(small, SOFT_ARGMAX._replace(exact=wrong), KL, "cpu")
    assert row["by"].startswith("cpu: not timed: soft_argmax and the oracle disagree")
    assert not set(TIMES) & set(row)


def test_a_row_is_there_before_the_next_is_made(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One group fails, and one is interrupted, as by a time limit."""
    path = tmp_path / "rows.jsonl"

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in path.read_text().splitlines()]

    def fails(small: bench.Bench, preset: Preset) -> object:
        raise ValueError("no graph\nmore")

    def interrupted(small: bench.Bench, preset: Preset) -> object:
        yield from bench.copy_row(small, preset)
        assert lines()[-1]["op"] == "copy"
        assert "copy" in capsys.readouterr().out
        raise KeyboardInterrupt

    group = plan.groups(command.parse([*OPTIONS, "--size", "2", "16", "12"]))[0]
    monkeypatch.setattr(
        command, "groups", lambda options: [group._replace(make=m) for m in (fails, interrupted)]
    )
    assert command.main([*OPTIONS, "--rows", str(path)]) == 130
    first, *rows = lines()
    assert first["environment"]["torch"]
    assert [(row["op"], row["by"]) for row in rows] == [
        ("failed", "no graph"),
        ("copy", bench.COPY),
    ]


def test_a_line_has_every_column(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows.jsonl")
    rows.add("B=2", {"op": "crop", "host us": 12.345, "launches": 3})
    rows.add("B=2", {"op": "crop", "peak MiB": 1.0})
    title, header, line, _ = capsys.readouterr().out.strip().splitlines()
    assert (title, header.split()[:2]) == ("B=2", ["preset", "dtype"])
    assert line.split()[3:6] == ["crop", "-", "12.3"]


def test_predictions_are_of_rows_that_come_first() -> None:
    ops = {"copy": (bench.COPY,)}
    ops |= dict.fromkeys((bench.LOSS_AND_GRAD.name, bench.NO_WEIGHT.name), bench.BACKENDS["cuda"])
    options = command.parse([])
    cells = {(group.size[0], group.variant[0]) for group in plan.groups(options)[:12]}
    for made in predictions.ALL["times"]:
        assert made["by"] in ops[made["op"]]
        assert (made["batch"], made["dtype"]) in cells
        row = {key: made[key] for key in predictions.KEYS} | {"layout": "NCHW"}
        assert predictions.beside(row, made["batch"], 17, 64, 48)["predicted"]
        assert "predicted" not in predictions.beside(row, 65, 17, 64, 48)


def test_without_a_gpu_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if command.why_not() is None:
        pytest.skip("there is a GPU")
    assert command.main(["--rows", str(tmp_path / "none.jsonl")]) == 0
    assert capsys.readouterr().out.startswith("skipped, no GPU: ")
    assert not list(tmp_path.iterdir())
