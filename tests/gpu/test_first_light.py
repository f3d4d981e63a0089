"""First light on the CPU, and its tools where stand-ins play NVIDIA's."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gpu import counters, library, running, stages, tools
from gpu.first_light import perform
from gpu.session import ROOT, TESTS, Session
from kernels.samples import DEVICE

pytestmark = pytest.mark.skipif(DEVICE != "cpu", reason="make gpu is the real thing")

Stand = Callable[[str], None]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """As on a machine with a GPU."""
    made = Session(tmp_path / "out", small=True, limit=20)
    made.facts = {"gpu": "stand-in", "capability": "90", "packages": {}}
    return made


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Makes a shell script the tool that is found."""

    def make(script: str) -> None:
        path = tmp_path / "tool"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(tools, "find", lambda name: str(path))

    return make


def told(session: Session) -> list[str]:
    return (session.out / "first_light.txt").read_text().splitlines()


def test_rehearsal(tmp_path: Path) -> None:
    """Every stage, from a Python that knows nothing of the package but its folder.

    Two halves at once: most of the time is imports.
    """
    script = [sys.executable, TESTS / "gpu" / "first_light.py", "--small"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    halves = {"abc": ["passed", "passed", "passed"], "def": ["passed", "left", "passed"]}
    running_now = {
        half: subprocess.Popen(
            [*script, "--out", tmp_path / half, "--stages", *half],
            cwd=tmp_path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for half in halves
    }
    for half, expected in halves.items():
        output, _ = running_now[half].communicate()
        assert running_now[half].returncode == 0, output
        lines = (tmp_path / half / "first_light.txt").read_text().splitlines()
        ends = [line.split() for line in lines if line[:2] in {f"{name} " for name in half}]
        assert [(end[0], end[1]) for end in ends] == list(zip(half, expected, strict=True))
    rows = (tmp_path / "def" / "speed.jsonl").read_text().splitlines()
    assert [json.loads(row)["op"] for row in rows[1:]] == ["copy", "loss_and_grad"]
    outcomes = (tmp_path / "def" / "f-triton.outcomes.txt").read_text()
    assert outcomes.startswith("passed ")
    assert "test_cell[triton-soft_argmax-" in outcomes


def test_a_limit_ends_a_command_and_what_it_started(tmp_path: Path) -> None:
    script = "sleep 60 & echo one; echo $! > child; wait"
    start = time.monotonic()
    status = running.run(["sh", "-c", script], tmp_path / "log", 0.5, cwd=tmp_path, env=os.environ)
    assert status is None
    assert time.monotonic() - start < 10
    assert (tmp_path / "log").read_text() == "one\n"
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10  # the signal is sent by then, the end takes its time
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not alive(child)


def alive(process: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_limit_holds_beside_what_it_cannot_end(tmp_path: Path) -> None:
    """What has left the command's session, as a compiler's workers may, keeps the pipe open."""
    start = time.monotonic()
    script = "setsid sleep 8 & echo one; sleep 60"
    running.run(["sh", "-c", script], tmp_path / "log", 0.5, cwd=tmp_path, env=os.environ)
    assert time.monotonic() - start < 6
    assert (tmp_path / "log").read_text() == "one\n"


def test_an_interrupted_command_may_still_speak(tmp_path: Path) -> None:
    script = "trap 'echo so far; exit 1' INT; echo begun; sleep 60 & wait"
    running.run(["sh", "-c", script], tmp_path / "log", 0.5, cwd=tmp_path, env=os.environ)
    assert (tmp_path / "log").read_text() == "begun\nso far\n"


def test_the_stage_says_that_its_limit_ended_it(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "GRACE", 1)
    session.limit = 1.5
    slow = stages.Stage("slow", lambda s: s.run("sleep", "60", log="slow.log") == 0, ())
    assert not perform(session, "x", slow)
    assert told(session)[-1].startswith("x ended at its limit after ")


@pytest.mark.parametrize(
    ("watched", "result", "line"),
    [
        ("exit 0", True, "memcheck: no error (c-memcheck.log)"),
        ('[ "$2" = memcheck ] && exit 9; exit 0', False, "memcheck: errors (c-memcheck.log)"),
        ("exit 7", False, "synccheck: exit status 7 (c-synccheck.log)"),
    ],
)
def test_compute_sanitizer(
    session: Session, stand_in: Stand, watched: str, result: bool, line: str
) -> None:
    # The probe is the call without every_op.
    stand_in(f'case "$*" in *every_op*) ;; *) exit 0;; esac; echo "$@"; {watched}')
    assert stages.sanitize(session) is result
    assert line in told(session)
    for tool in stages.SANITIZERS:
        assert f"--tool {tool} --error-exitcode 9" in (session.out / f"c-{tool}.log").read_text()


def test_a_machine_without_tools_or_that_refuses_them(
    session: Session, stand_in: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in("echo ERR_NVGPUCTRPERM; exit 1")
    assert stages.sanitize(session) == (
        "compute-sanitizer refuses to run on this machine (c-probe.log)"
    )
    assert "ERR_NVGPUCTRPERM" in str(stages.count(session))
    monkeypatch.setattr(tools, "find", lambda name: None)
    assert "no compute-sanitizer is here" in str(stages.sanitize(session))
    assert stages.count(session) == "no ncu is here"


def test_counters_of_every_case(session: Session, stand_in: Stand) -> None:
    stand_in('echo "$@"')
    assert stages.count(session) is True
    for case in counters.CASES:
        text = (session.out / f"e-{'-'.join(case)}.log").read_text()
        assert f"-m gpu.counters {' '.join(case)}" in text


def test_the_kernels_that_are_counted_are_there() -> None:
    sources = [*ROOT.glob("csrc/cuda/*.cu"), *ROOT.glob("hhd_kernels/triton/*.py")]
    text = "".join(path.read_text() for path in sources)
    for name in counters.KERNELS.removeprefix("regex:").split("|"):
        assert re.search(rf"\b{name}(_kernel)?\(", text), name


def test_without_a_library_or_a_compiler(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(at: Session) -> bool:
        at.facts["no_library"] = "it is not built"
        return True

    monkeypatch.setattr(library, "look", look)
    monkeypatch.setattr(tools, "find", lambda name: None)
    assert not library.ready(session)
    assert told(session) == [
        "library: building, as it is not built",
        f"library: no nvcc is here; {library.BEFOREHAND}",
    ]


@pytest.mark.parametrize("fails", [False, True])
def test_parts_are_all_the_tests(session: Session, tmp_path: Path, fails: bool) -> None:
    """Two parts, and one of them may have none."""
    session.facts["gpu"] = None
    file = tmp_path / "test_few.py"
    file.write_text("def test_a(): pass\n" + ("def test_b(): assert 1 == 2\n" if fails else ""))
    arguments = ("--rootdir", str(tmp_path), "--confcutdir", str(tmp_path), str(file))
    assert stages.pytest(session, "few", *arguments, parts=2) is not fails
    assert set(told(session)[-1].split(", ")) == {"1 passed", *(["1 failed"] if fails else [])}
    assert ("assert 1 == 2" in (session.out / "few.outcomes.txt").read_text()) is fails


def test_what_is_not_installed_is_said(session: Session) -> None:
    session.facts["packages"] = {"numpy": "2.0", "pytest": "9.0", "hypothesis": None}
    assert perform(session, "a", stages.STAGES["a"])
    assert told(session)[-1] == "a left out after 0 s: not installed: hypothesis"
