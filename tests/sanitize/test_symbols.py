"""What the object of one instruction set shares with the others: nothing the linker could pick.

Of equal inline functions in several objects the linker keeps one, and it could be one that this
machine cannot run.
"""

import shutil
import subprocess

import pytest

from sanitize import build

# Data without code: the exception handler's address.
SHARED = "DW.ref.__gxx_personality_v0"


@pytest.mark.parametrize("name", build.ALL_SETS)
def test_defined_symbols_are_the_instruction_sets_own(name: str, built: None) -> None:
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("no nm to list symbols with")
    command = [nm, "--defined-only", "--extern-only", str(build.kernel_objects()[name])]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    symbols = {line.split()[2] for line in listing.splitlines()}
    entry = f"_ZN3hhd{_mangled(f'kernels_{name}')}Ev"
    assert entry in symbols
    namespace = f"3hhd{_mangled(name)}"
    assert {s for s in symbols - {entry, SHARED} if namespace not in s} == set()


def _mangled(name: str) -> str:
    """As part of a symbol; a demangler would give up on the longest ones."""
    return f"{len(name)}{name}"
