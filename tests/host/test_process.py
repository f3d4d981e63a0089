"""Where it runs: without torch, in forked workers, in threads, and without the compiled module."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from host.samples import Array, load_host, noisy_peaks

host = load_host()

ROOT = Path(host.__file__).parents[1]


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that can import the package."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def everything(seed: int) -> list[Array]:
    """All results of the face for one seed."""
    maps = noisy_peaks(seed, 16, 12)
    results = [*host.decode_quarter(maps), *host.decode_dark(maps - 0.5)]
    results += host.soft_argmax_numpy(maps, beta=10.0, window=7)
    results += host.encode_msra(results[0], None, (12, 16)) + host.encode_dark(
        results[2], None, (12, 16)
    )
    return results


def assert_same(got: list[list[Array]], expected: list[list[Array]]) -> None:
    for one, other in zip(got, expected, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork"
)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_workers_give_the_same() -> None:
    expected = [everything(seed) for seed in range(8)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert_same(pool.map_async(everything, range(8)).get(timeout=60), expected)


def test_threads_give_the_same() -> None:
    expected = [everything(seed) for seed in range(8)]
    with ThreadPoolExecutor(2) as pool:
        assert_same(list(pool.map(everything, range(8))), expected)


def test_nothing_imports_torch() -> None:
    done = run_python(
        "import sys; sys.modules['torch'] = None\n"
        "import numpy as np\n"
        "import hhd_kernels\n"
        "from hhd_kernels import host\n"
        "maps, _ = host.encode_dark([[3.2, 4.1]], None, (9, 9))\n"
        "for decode in (host.decode_plain, host.decode_quarter, host.decode_dark,\n"
        "               host.soft_argmax_numpy, hhd_kernels.decode_dark):\n"
        "    decode(maps)\n"
        "host.encode_msra([[3.2, 4.1]], None, (9, 9))\n"
        "print(sorted(name for name in sys.modules if name.startswith('torch.')))\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_import_leaves_torch_unloaded() -> None:
    done = run_python("import sys, hhd_kernels.host; print('torch' in sys.modules)")
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


def test_without_the_compiled_module_the_import_says_how_to_build() -> None:
    done = run_python(
        "import sys; sys.modules['hhd_kernels._host'] = None\n"
        "try:\n    from hhd_kernels.host import decode_dark\n"
        "except ImportError as error:\n    print(error)\n"
    )
    assert done.returncode == 0, done.stderr
    assert "hhd_kernels._host" in done.stdout
    assert "`pip install .` and a C++17 compiler" in done.stdout
