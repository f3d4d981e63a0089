"""What HHD_CUDA and HHD_CUDA_ARCHS choose, with and without an nvcc."""

import runpy
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

SETUP = Path(__file__).resolve().parent.parent / "setup.py"
VARIABLES = ("HHD_BUILD", "HHD_CUDA", "HHD_CUDA_ARCHS", "CUDACXX", "CUDA_HOME", "CUDA_PATH", "CXX")
Script = dict[str, Any]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    """setup.py's functions, on a machine where nothing is set."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return runpy.run_path(str(SETUP))


@pytest.fixture
def nvcc(tmp_path: Path) -> Callable[..., str]:
    """Makes an nvcc that knows some architectures."""

    def make(*architectures: str, folder: str = "toolkit") -> str:
        path = tmp_path / folder / "bin" / "nvcc"
        path.parent.mkdir(parents=True)
        path.write_text("#!/bin/sh\n" + "".join(f"echo sm_{a}\n" for a in architectures))
        path.chmod(0o755)
        return str(path)

    return make


def no_nvcc(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(script["cuda_options"].__globals__, "find_nvcc", lambda: None)


def test_not_wanted(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HHD_CUDA", "0")
    assert script["cuda_options"]() == ["-DHHD_CUDA=OFF", "-DHHD_CUDA_ABSENT=HHD_CUDA=0"]


def test_without_a_compiler_auto_goes_without(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_nvcc(script, monkeypatch)
    assert script["cuda_options"]() == ["-DHHD_CUDA=OFF", "-DHHD_CUDA_ABSENT=no nvcc was found"]


def test_without_a_compiler_1_is_an_error(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    no_nvcc(script, monkeypatch)
    monkeypatch.setenv("HHD_CUDA", "1")
    with pytest.raises(SystemExit, match=r"^hhd: HHD_CUDA=1, but no nvcc is in CUDACXX, "):
        script["cuda_options"]()


def test_default_is_what_the_compiler_knows(
    script: Script, monkeypatch: pytest.MonkeyPatch, nvcc: Callable[..., str]
) -> None:
    path = nvcc("75", "80", "90")
    monkeypatch.setenv("CUDACXX", path)
    assert script["cuda_options"]() == [
        "-DHHD_CUDA=ON",
        "-DHHD_CUDA_ARCHS=80;90",
        f"-DCMAKE_CUDA_COMPILER={path}",
    ]


def test_architectures_are_sorted_and_checked(
    script: Script, monkeypatch: pytest.MonkeyPatch, nvcc: Callable[..., str]
) -> None:
    path = nvcc("80", "90", "120")
    monkeypatch.setenv("HHD_CUDA_ARCHS", "120;80")
    assert script["cuda_archs"](path) == ["80", "120"]
    monkeypatch.setenv("HHD_CUDA_ARCHS", "80, 70")
    with pytest.raises(
        SystemExit, match=r"has 70, which .* does not compile for; it takes some of"
    ):
        script["cuda_archs"](path)


def test_the_named_compiler_comes_first(
    script: Script, monkeypatch: pytest.MonkeyPatch, nvcc: Callable[..., str]
) -> None:
    home, named = nvcc(folder="home"), nvcc(folder="named")
    monkeypatch.setenv("CUDA_HOME", str(Path(home).parent.parent))
    assert script["find_nvcc"]() == home
    monkeypatch.setenv("CUDACXX", named)
    assert script["find_nvcc"]() == named


def test_other_words_are_refused(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HHD_CUDA", "yes")
    with pytest.raises(SystemExit, match="HHD_CUDA is 'yes'; it takes one of auto, 1, 0"):
        script["cuda_options"]()


def test_cuda_is_not_built_alone(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HHD_BUILD", "skip")
    assert script["extensions"]() == []
    monkeypatch.setenv("HHD_CUDA", "1")
    with pytest.raises(SystemExit, match="HHD_CUDA=1, but HHD_BUILD=skip"):
        script["extensions"]()


def test_a_source_distribution_can_be_built_from(tmp_path: Path) -> None:
    """It holds every file that CMake compiles or includes."""
    command = [sys.executable, "setup.py", "-q", "sdist", "-d", str(tmp_path)]
    # Its metadata goes there too: the installed package's own is not to be written anew.
    egg = ["egg_info", "--egg-base", str(tmp_path)]
    subprocess.run([*command[:3], *egg, *command[3:]], cwd=SETUP.parent, check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        held = {name.partition("/")[2] for name in tar.getnames()}
    sources = {path for path in SETUP.parent.glob("csrc/**/*") if path.is_file()}
    wanted = {str(path.relative_to(SETUP.parent)) for path in sources} | {"CMakeLists.txt"}
    assert wanted <= held


@pytest.mark.parametrize(("torchs", "expected"), [(12, "old"), (13, "new"), (None, "new")])
def test_of_several_compilers_that_of_torchs_cuda(
    script: Script,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    torchs: int | None,
    expected: str,
) -> None:
    """What a newer one builds needs a newer driver than torch does."""
    paths = {}
    for name, release in (("new", "13.0"), ("old", "12.8")):
        path = tmp_path / name / "nvcc"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V'\n")
        path.chmod(0o755)
        paths[name] = str(path)
    names = script["find_nvcc"].__globals__
    monkeypatch.setitem(names, "glob", lambda _: [paths["old"]])
    monkeypatch.setitem(names, "torch_cuda", lambda: torchs)
    monkeypatch.setenv("PATH", f"{tmp_path}/new:/usr/bin:/bin")
    monkeypatch.setattr(names["importlib"].util, "find_spec", lambda _: None)
    assert script["find_nvcc"]() == paths[expected]


def test_a_compiler_newer_than_torch_is_told(
    script: Script, monkeypatch: pytest.MonkeyPatch, nvcc: Callable[..., str], capsys: Any
) -> None:
    path = Path(nvcc())
    path.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 13.0, V'\n")
    names = script["find_nvcc"].__globals__
    monkeypatch.setitem(names, "glob", lambda _: [])
    monkeypatch.setitem(names, "torch_cuda", lambda: 12)
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
    monkeypatch.setattr(names["importlib"].util, "find_spec", lambda _: None)
    assert script["find_nvcc"]() == str(path)
    assert "is of CUDA 13, torch of CUDA 12" in capsys.readouterr().err


def test_torchs_cuda_is_read_without_importing_it(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for text, expected in (
        ("cuda: Optional[str] = '12.8'\nhip: Optional[str] = None\n", 12),
        ("cuda: Optional[str] = None\n", None),
        ("cuda = '13.0'\n", 13),
    ):
        (tmp_path / "version.py").write_text(text)
        origin = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
        importlib = script["torch_cuda"].__globals__["importlib"]
        monkeypatch.setattr(importlib.util, "find_spec", lambda _, origin=origin: origin)
        assert script["torch_cuda"]() == expected
