"""hhd doctor: a machine's facts, and a remedy for each thing that is wrong with it."""

import json
import os
import stat
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest
import torch

from hhd import doctor
from hhd.cli import main
from hhd_kernels import info


def wrong():
    return [advice.text for advice in doctor.examine().advice if advice.wrong]


def notes():
    return [advice.text for advice in doctor.examine().advice if not advice.wrong]


def test_a_sound_machine(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "nothing is wrong" in text
    assert f"torch                {torch.__version__}" in text
    assert "joint loss and gradient, 16x17x64x48: " in text
    assert " ms on cpu" in text
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["facts"]["extras"]["train"].startswith("jinja2 ")
    assert found["advice"] == [a._asdict() for a in doctor.examine().advice]


def test_a_library_that_was_not_built(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(info, "LIBRARY", tmp_path / "libhhd_kernels.so")
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "WRONG: the ops run as plain PyTorch: libhhd_kernels.so is not built. Reinstall" in text
    assert "nothing is wrong" not in text


def test_missing_extras(monkeypatch):
    def version(name):
        if name in ("rich", "onnx"):
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(doctor, "version", version)
    (text,) = notes()
    assert text.endswith("hhd's commands need rich: pip install 'hhd-kernels[train]'")
    assert not wrong()
    assert "onnx is not there" in doctor.examine().facts["extras"]["onnx"]


def test_a_folder_that_cannot_be_written(monkeypatch, tmp_path):
    def refuse(dir):
        raise PermissionError(13, "Permission denied")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    texts = wrong()
    assert f"{tmp_path} cannot be written: Permission denied; --output elsewhere" in texts


@pytest.mark.parametrize(("free", "ill"), [(64, True), (4096, False)])
def test_little_shared_memory(monkeypatch, free, ill):
    usage = SimpleNamespace(free=free * doctor.MEBIBYTE)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    assert any("kill data workers" in text for text in wrong()) == ill


def test_environment_and_threads(monkeypatch):
    monkeypatch.setenv("HHD_BACKEND", "reference")
    monkeypatch.setattr(doctor.torch, "get_num_threads", lambda: 1000)
    monkeypatch.setattr(doctor.os, "getloadavg", lambda: (500.0, 1.0, 1.0))
    texts = notes()
    assert any("this machine is busy (load 500.0 on " in text for text in texts)
    assert "HHD_BACKEND is reference: it overrides the choice" in texts
    assert any(text.startswith("torch uses 1000 threads on ") for text in texts)


def test_a_compiler_of_another_cuda(monkeypatch, tmp_path):
    """Its kernels would need a newer driver than torch's."""
    for name, text in (
        ("nvcc", "Cuda compilation tools, release 13.0, V13.0.88"),
        ("nvidia-smi", "1"),
    ):
        tool = tmp_path / name
        tool.write_text(f"#!/bin/sh\necho '{text}'\n")
        tool.chmod(tool.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(doctor.torch.version, "cuda", "12.8")
    report = doctor.examine()
    texts = [advice.text for advice in report.advice]
    assert any("'nvidia-cuda-nvcc==12.*'" in text for text in texts)
    assert any("torch sees no GPU: torch is for CUDA 12.8" in text for text in texts)
    monkeypatch.setattr(doctor.torch.version, "cuda", "13.2")
    assert not any("nvidia-cuda-nvcc" in advice.text for advice in doctor.examine().advice)


def test_a_look_that_fails_is_told(monkeypatch):
    def fail(facts, advice):
        raise RuntimeError("no such thing")

    monkeypatch.setattr(doctor, "_memory", fail)
    report = doctor.examine()
    assert report.facts["memory"] == "RuntimeError: no such thing"
    assert "timed" in report.facts
    assert report.ill


def test_the_base_install_is_enough():
    """Where an extra is missing, the doctor is who says so."""
    script = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        absent = ("rich", "cv2", "yaml", "jsonargparse", "pycocotools", "PIL", *sys.argv[1:])
        if name.split(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from hhd.cli import main
sys.exit(main(["doctor"]))
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "nothing is wrong" in found.stdout
    words = [sys.executable, "-c", script, "torch"]
    found = subprocess.run(words, capture_output=True, text=True)
    assert found.returncode == 1
    assert found.stdout.strip() == (
        "WRONG: the Python module torch is not there: pip install torch"
    )
