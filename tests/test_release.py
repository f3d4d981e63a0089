"""What a release is made of: one version, and files that their own schemas take."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import tomllib
import yaml

import hhd_kernels

ROOT = Path(__file__).parents[1]
SCHEMAS = {
    ".github/workflows/*.yml": "vendor.github-workflows",
    ".github/ISSUE_TEMPLATE/config.yml": "vendor.github-issue-config",
    ".github/ISSUE_TEMPLATE/[!c]*.yml": "vendor.github-issue-forms",
    "CITATION.cff": "vendor.citation-file-format",
}


@pytest.mark.parametrize("pattern", SCHEMAS)
def test_files_follow_their_schemas(pattern):
    files = sorted(ROOT.glob(pattern))
    assert files
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", f"--builtin-schema={SCHEMAS[pattern]}", *files],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_version_is_one():
    assert version("hhd-kernels") == hhd_kernels.__version__
    said = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert said == hhd_kernels.__version__
    assert f"## {hhd_kernels.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    # Elsewhere it is read: pyproject and CMake from hhd_kernels/__init__.py.
    assert "version" in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"]
    assert hhd_kernels.__version__ not in (ROOT / "CMakeLists.txt").read_text()


def test_workflows_that_nobody_ran_say_so():
    for file in (ROOT / ".github" / "workflows").glob("*.yml"):
        assert file.read_text().startswith("# Never run yet")
