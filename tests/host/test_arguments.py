"""Bad arguments raise one sentence that names the argument, what it got and what it takes."""

import re
from typing import Any

import numpy as np
import pytest

from host.samples import load_host

host = load_host()

MAPS = np.zeros((1, 2, 8, 8), np.float32)
POINTS = np.zeros((2, 2))

READERS = ["decode_plain", "decode_quarter", "decode_dark", "soft_argmax_numpy"]
BAD_MAPS = [
    ([[1.0]], TypeError, "a list; it takes a numpy.ndarray"),
    (np.zeros((1, 1, 4, 4), np.int64), TypeError, "int64; it takes float16"),
    (np.zeros((1, 1, 4, 4), np.complex64), TypeError, "complex64; it takes float16"),
    (np.zeros((1, 1, 4, 4), ">f4"), TypeError, "machine's byte order"),
    (np.zeros((1, 1, 4, 4), np.longdouble), TypeError, "it takes float16"),
    (np.zeros((4, 4), np.float32), ValueError, r"shape [4, 4]; it takes [B, K, H, W]"),
    (np.zeros((1, 1, 1, 4, 4), np.float32), ValueError, "it takes [B, K, H, W]"),
    (np.zeros((1, 1, 0, 4), np.float32), ValueError, "H and W at least 1"),
    (np.zeros((1, 4, 0), np.float32), ValueError, "H and W at least 1"),
]


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(("maps", "error", "says"), BAD_MAPS)
def test_maps(name: str, maps: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=re.escape(says)) as raised:
        getattr(host, name)(maps)
    assert str(raised.value).startswith("logits" if "soft" in name else "maps")


CALLS = [
    (lambda: host.decode_plain(MAPS, convention="coco"), ValueError, "convention is 'coco'"),
    (lambda: host.decode_quarter(MAPS, convention=None), ValueError, "convention is None"),
    (lambda: host.decode_dark(MAPS, blur_kernel=10), ValueError, "blur_kernel is 10"),
    (lambda: host.decode_dark(MAPS, blur_kernel=-1), ValueError, "blur_kernel is -1"),
    (lambda: host.decode_dark(MAPS, blur_kernel=2**40 + 1), ValueError, "from 1 to 999"),
    (lambda: host.decode_dark(MAPS, blur_kernel=11.0), TypeError, "blur_kernel is 11.0"),
    (lambda: host.decode_dark(MAPS, blur_kernel=True), TypeError, "blur_kernel is True"),
    (lambda: host.soft_argmax_numpy(MAPS, window=4), ValueError, "window is 4"),
    (lambda: host.soft_argmax_numpy(MAPS, window=0), ValueError, "window is 0"),
    (lambda: host.soft_argmax_numpy(MAPS, beta=0), ValueError, "beta is 0"),
    (lambda: host.soft_argmax_numpy(MAPS, beta=np.nan), ValueError, "beta is nan"),
    (lambda: host.soft_argmax_numpy(MAPS, beta="1"), TypeError, "beta is '1'"),
    (lambda: host.soft_argmax_numpy(MAPS, beta=10**400), ValueError, "beta is 1000"),
    (lambda: host.soft_argmax_numpy(MAPS, window=10**400 + 1), ValueError, "window is 1000"),
    (lambda: host.decode_dark(MAPS, blur_kernel=10**400), ValueError, "blur_kernel is 1000"),
    (lambda: host.encode_msra(POINTS, None, (8, 10**400)), ValueError, "heatmap_size is (8, 1000"),
    (lambda: host.encode_msra(POINTS, None, (8, 8), 10**400), ValueError, "sigma is 1000"),
    (lambda: host.encode_msra([[10**400, 0]], None, (8, 8)), TypeError, "keypoints has dtype"),
    (lambda: host.encode_msra(np.zeros(2), None, (8, 8)), ValueError, "keypoints has shape [2]"),
    (lambda: host.encode_msra(np.zeros((2, 3)), None, (8, 8)), ValueError, "shape [2, 3]"),
    (lambda: host.encode_msra([["a", "b"]], None, (8, 8)), TypeError, "keypoints has dtype <U1"),
    (lambda: host.encode_msra(POINTS, [1.0], (8, 8)), ValueError, "visible has shape [1]"),
    (lambda: host.encode_msra(POINTS, [1, 2], (8, 8)), ValueError, "visible contains 2.0"),
    (lambda: host.encode_msra(POINTS, [1, -1], (8, 8)), ValueError, "visible contains -1.0"),
    (lambda: host.encode_msra(POINTS, [1, np.nan], (8, 8)), ValueError, "visible contains nan"),
    (lambda: host.encode_dark([[0, np.nan]], [1], (8, 8)), ValueError, "[0.0, nan] at [0]"),
    (lambda: host.encode_dark([[[np.inf, 0]]], [[1]], (8, 8)), ValueError, "at [0, 0]"),
    (lambda: host.encode_msra(POINTS, None, (8, 0)), ValueError, "heatmap_size is (8, 0)"),
    (lambda: host.encode_msra(POINTS, None, 8), TypeError, "heatmap_size is 8"),
    (lambda: host.encode_msra(POINTS, None, (8, 8, 8)), TypeError, "heatmap_size is (8, 8, 8)"),
    (lambda: host.encode_msra(POINTS, None, (8, np.nan)), TypeError, "heatmap_size is (8, nan)"),
    (lambda: host.encode_msra(POINTS, None, (8, 8), -2.0), ValueError, "sigma is -2.0"),
    (lambda: host.encode_dark(POINTS, None, (8, 8), np.inf), ValueError, "sigma is inf"),
]


@pytest.mark.parametrize(("call", "error", "says"), CALLS)
def test_other_arguments(call: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=re.escape(says)) as raised:
        call()
    assert "it takes" in str(raised.value)


def test_numpy_integers_and_floats_are_numbers() -> None:
    host.decode_dark(MAPS, blur_kernel=np.int64(3))
    host.soft_argmax_numpy(MAPS, beta=np.float32(2), window=np.uint8(3))
    host.encode_msra(POINTS, None, np.array([8, 8]), np.float64(2))


def test_the_compiled_module_is_memory_safe_by_itself() -> None:
    from hhd_kernels import _host

    for maps in (np.zeros((2, 2)), np.zeros((1, 1, 0, 3)), np.zeros((1, 1, 2, 2), ">f8")):
        with pytest.raises(ValueError, match="maps must"):
            _host.decode_plain(maps, False)
    with pytest.raises(TypeError, match="maps must be float16"):
        _host.decode_plain(np.zeros((1, 1, 2, 2), int), False)
    with pytest.raises(ValueError, match="blur_kernel must be odd"):
        _host.decode_dark(MAPS, 4, False)
    with pytest.raises(ValueError, match="joints must be"):
        _host.encode_msra(np.zeros((3, 2)), 4, 4, 1.0)
