"""The support table holds what tests showed, and nothing that failed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import support

TESTS = Path(__file__).parent
CONFTEST = """
import sys
from pathlib import Path

sys.path.insert(0, {tests!r})
import support
from support import pytest_runtest_makereport

support.RECORDS = Path({records!r})
"""
SESSION = """
import pytest
import support

def test_right():
    support.record("crop", "cpu", "float32", "sliced")
    support.record("crop", "cpu", "float16", "sliced")

def test_wrong():
    support.record("crop", "cpu", "float16", "sliced")
    assert {outcome}

def test_absent():
    support.record("crop", "cpu", "float64", "sliced")
    pytest.skip("not here")

def test_silent():
    pass
"""


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """A folder of tests that record into `records` there."""
    (tmp_path / "conftest.py").write_text(
        CONFTEST.format(tests=str(TESTS), records=str(tmp_path / "records"))
    )
    return tmp_path


def run(session: Path, outcome: bool) -> list[str]:
    """All lines recorded so far, after one more run of the tests."""
    (session / "test_session.py").write_text(SESSION.format(outcome=outcome))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(session)]
    subprocess.run(command, cwd=session, capture_output=True)
    return (session / "records").read_text().splitlines()


def test_a_failed_cell_is_not_supported_until_it_passes(session: Path) -> None:
    lines = run(session, outcome=False)
    float32 = support.Cell("crop", "cpu", "float32", "sliced", "native")
    assert support.supported(lines) == {float32}
    assert support.supported(run(session, outcome=True)) == {
        float32,
        float32._replace(dtype="float16"),
    }
    assert {json.loads(line)["test"] for line in lines} == {
        "test_session.py::test_right",
        "test_session.py::test_wrong",
    }


def test_what_is_not_a_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="'rocm' is not one of reference, cpu, cuda, triton"):
        support.record("crop", "rocm", torch.float32, "sliced")
    with pytest.raises(ValueError, match="'int32'"):
        support.record("crop", "cpu", torch.int32, "sliced")


def test_table() -> None:
    cells = {
        support.Cell("crop", "triton", "bfloat16", "expanded", "interpreter"),
        support.Cell("crop", "cuda", "float32", "contiguous", "executor"),
        support.Cell("crop", "cuda", "float32", "transposed", "executor"),
    }
    _, cuda, triton = support.render(cells, ["normalize", "crop"]).split("\n## ")
    nothing = "| `normalize` | ····· | ····· | ····· | ····· |"
    assert cuda.splitlines()[0] == "cuda: the device code, run on the CPU by the executor"
    assert cuda.splitlines()[-2:] == [nothing, "| `crop` | C··T· | ····· | ····· | ····· |"]
    assert triton.splitlines()[-2:] == [nothing, "| `crop` | ····· | ····· | ····E | ····· |"]


def test_every_op_of_the_schema_has_a_row() -> None:
    ops = support.schema_ops()
    schema = (TESTS.parent / "csrc" / "schema.cpp").read_text()
    assert len(set(ops)) == schema.count("m.def(")
    assert {"normalize", "crop_backward", "joint_loss"} <= set(ops)
