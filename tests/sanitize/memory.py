"""Arrays in memory from C's malloc, of exactly the bytes their strides span.

The sanitizer guards the bytes on either side; bytes between the elements hold a canary.
"""

import ctypes
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Strides = tuple[int, ...]
CANARY = 0xFF  # NaN in every dtype: read by mistake, it spoils the result

_libc = ctypes.CDLL(None)
_libc.malloc.restype = ctypes.c_void_p
_libc.malloc.argtypes = [ctypes.c_size_t]
_libc.free.argtypes = [ctypes.c_void_p]

# As numbered by the C++ enumeration; bfloat16 is stored as its bits.
DTYPES = {"float32": "f4", "float64": "f8", "float16": "f2", "bfloat16": "u2"}
CODES = {name: code for code, name in enumerate(DTYPES)}


class View(ctypes.Structure):
    """`hhd::View`."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("dtype", ctypes.c_int32),
        ("size", ctypes.c_int64 * 4),
        ("stride", ctypes.c_int64 * 4),
    )


def accumulate(dtype: str) -> str:
    """The dtype of what is computed from maps of `dtype`."""
    return "float64" if dtype == "float64" else "float32"


def contiguous(shape: tuple[int, ...]) -> Strides:
    return tuple(int(np.prod(shape[d + 1 :])) for d in range(len(shape)))


def _channels_last(shape: tuple[int, ...], spare: int = 0) -> Strides:
    _, k, h, w = shape
    pixel = k + spare
    return h * w * pixel, 1, w * pixel, pixel


def _transposed(shape: tuple[int, ...]) -> Strides:
    _, k, h, w = shape
    return k * h * w, h * w, 1, h


def _sliced(shape: tuple[int, ...]) -> Strides:
    _, k, h, w = shape
    return (*contiguous((1, k + 1, h + 2, 2 * w + 3))[:3], 2)


# Strides in elements. The first four are dense, as torch makes outputs.
LAYOUTS: dict[str, Callable[[tuple[int, ...]], Strides]] = {
    "contiguous": contiguous,
    "channels_last": _channels_last,
    "transposed": _transposed,
    "joints_outermost": lambda s: (s[2] * s[3], s[0] * s[2] * s[3], s[3], 1),
    "sliced": _sliced,
    "padded_rows": lambda s: contiguous((1, s[1], s[2] + 1, s[3] + 3)),
    "channels_sliced": lambda s: _channels_last(s, spare=3),
    "flipped": lambda s: tuple(-stride for stride in contiguous(s)),
    "channels_last_flipped": lambda s: tuple(-x if x != 1 else x for x in _channels_last(s)),
}
DENSE = list(LAYOUTS)[:4]
# Several positions share an element: for inputs only.
SHARED: dict[str, Callable[[tuple[int, ...]], Strides]] = {
    "same_instance": lambda s: (0, *contiguous(s)[1:]),
    "same_joint": lambda s: (s[2] * s[3], 0, s[3], 1),
    "same_column": lambda s: (s[1] * s[2], s[2], 1, 0),
    "same_row": lambda s: (s[1] * s[3], s[3], 0, 1),
    "one_value": lambda s: (0, 0, 0, 0),
}


def to_bfloat16(values: ArrayLike) -> NDArray[np.uint16]:
    """The bits of the nearest bfloat16, ties to even."""
    bits = np.asarray(values, np.float32).view(np.uint32)
    rounded = ((bits + np.uint64(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)


class Array:
    """A strided array; its memory goes with it."""

    def __init__(
        self, shape: tuple[int, ...], dtype: str = "float32", strides: Strides | None = None
    ) -> None:
        strides = contiguous(shape) if strides is None else strides
        reach = [step * (n - 1) for step, n in zip(strides, shape, strict=True)]
        empty = 0 in shape
        first = 0 if empty else -sum(min(r, 0) for r in reach)
        count = 0 if empty else first + sum(max(r, 0) for r in reach) + 1
        self.dtype, stored = dtype, np.dtype(DTYPES[dtype])
        self._first_byte = first * stored.itemsize
        size = count * stored.itemsize
        self._address = _libc.malloc(size)
        memory = (ctypes.c_uint8 * size).from_address(self._address)
        self.memory = np.frombuffer(memory, np.uint8) if size else np.zeros(0, np.uint8)
        steps = tuple(step * stored.itemsize for step in strides)
        self.stored = np.ndarray(shape, stored, self.memory, self._first_byte, steps)
        self.memory[:] = CANARY
        data = None if empty else self._address + self._first_byte
        missing = 4 - len(shape)
        self.view = View(
            data,
            CODES[dtype],
            (ctypes.c_int64 * 4)(*shape, *[1] * missing),
            (ctypes.c_int64 * 4)(*strides, *[0] * missing),
        )

    def __del__(self) -> None:
        _libc.free(self._address)

    @classmethod
    def of(cls, values: ArrayLike, dtype: str, strides: Strides | None = None) -> "Array":
        """Values in a dtype and in strides of elements."""
        values = np.asarray(values)
        array = cls(values.shape, dtype, strides)
        with np.errstate(over="ignore"):
            array.stored[...] = to_bfloat16(values) if dtype == "bfloat16" else values
        return array

    def values(self) -> NDArray[np.float64]:
        """What the stored elements mean."""
        if self.dtype == "bfloat16":
            wide = (self.stored.astype(np.uint32) << 16).view(np.float32)
            return wide.astype(np.float64)
        return self.stored.astype(np.float64)

    def poison(self, byte: int) -> None:
        """Fill elements and gaps."""
        self.memory[:] = byte

    def gaps(self) -> NDArray[np.uint8]:
        """The bytes that belong to no element."""
        taken = np.zeros_like(self.memory)
        unsigned = f"u{self.stored.itemsize}"
        marks = np.ndarray(
            self.stored.shape, unsigned, taken, self._first_byte, self.stored.strides
        )
        marks[...] = np.iinfo(unsigned).max
        return self.memory[taken == 0]
