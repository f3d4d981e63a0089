"""Inputs of the sweep: maps in every dtype and layout, centres in and far out of them."""

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from sanitize.memory import DENSE, DTYPES, LAYOUTS, SHARED, Array, Strides, contiguous

Values = NDArray[np.float64]
Shape = tuple[int, int, int, int]
T = TypeVar("T")

# One pixel, row or column, rows of constant length and ragged, joints around multiples of 8, none.
SHAPES: list[Shape] = [
    (1, 1, 1, 1),
    (2, 3, 1, 7),
    (1, 2, 9, 1),
    (2, 3, 8, 48),
    (1, 17, 5, 9),
    (2, 9, 7, 3),
    (1, 8, 3, 17),
    (2, 5, 6, 33),
    (1, 4, 16, 12),
    (0, 3, 4, 4),
    (2, 0, 4, 4),
]
# Smaller and larger than the maps, odd and even.
WINDOWS = [(7, 7), (1, 1), (2, 3), (8, 8), (5, 4), (1, 40), (19, 3), (3, 9), (17, 16)]
ALL_LAYOUTS = LAYOUTS | SHARED
OUTPUTS = [*DENSE, "sliced", "channels_sliced", "padded_rows", "flipped"]


class Setting(NamedTuple):
    """One point of the sweep; `seed` also picks what is not listed here."""

    seed: int
    shape: Shape
    dtype: str
    layout: str

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)

    def pick(self, what: str, options: Sequence[T]) -> T:
        """One of the options for something, by the seed."""
        return random.Random(f"{self.seed} {what}").choice(options)

    @property
    def output(self) -> Strides:
        """Strides of an output: the input's where it may have them, now and then other ones."""
        layout = self.pick("output", [self.layout, self.layout, self.pick("other", OUTPUTS)])
        return LAYOUTS.get(layout, contiguous)(self.shape)

    def maps(self, values: Values, dtype: str = "") -> Array:
        """Values `[B, K, H, W]` in this setting's dtype and layout."""
        return Array.of(values, dtype or self.dtype, ALL_LAYOUTS[self.layout](values.shape))


def settings(shapes: Sequence[Shape] = SHAPES) -> list[Setting]:
    """Every dtype in every layout and shape."""
    product = itertools.product(shapes, DTYPES, ALL_LAYOUTS)
    return [Setting(seed, *point) for seed, point in enumerate(product)]


def some(count: int, shapes: Sequence[Shape] = SHAPES) -> Iterator[Setting]:
    """`count` settings, well mixed."""
    points = settings(shapes)
    order = np.random.default_rng(0).permutation(len(points))
    for n in range(count):
        yield points[order[n % len(points)]]._replace(seed=n)


def maps(setting: Setting) -> Values:
    """A bump in noise on every map, one map in five of zeros or of few values."""
    rng, (b, k, h, w) = setting.rng(), setting.shape
    rows, columns = np.indices((h, w))
    x, y = (rng.uniform(0, n, (b, k, 1, 1)) for n in (w, h))
    values = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 6.0)
    values += 0.05 * rng.standard_normal(setting.shape)
    style = rng.integers(0, 10, (b, k, 1, 1))
    values = np.where(style == 0, 0.0, values)
    return np.where(style == 1, np.round(4 * values), values)


def centers(setting: Setting, *, hostile: bool = False) -> Values:
    """Centres `[B, K, 2]` on a 1/64 grid in, on the border of and beside the map, some far out."""
    rng, (b, k, h, w) = setting.rng(), setting.shape
    size = np.array([w, h], float)
    places = np.round(rng.uniform(-4, size + 3, (b, k, 2)) * 64) / 64
    kind = rng.integers(0, 8, places.shape)
    border = rng.choice([-0.5, 0.0, 1.0], places.shape)
    places = np.where(kind == 0, np.floor(places), places)
    places = np.where(kind <= 1, (size - 1) * border, places)
    places = np.where(kind == 2, rng.choice([-0.5, 0.5], places.shape) + size - 1, places)
    far = [1e4, -1e4, 1e9, -1e9, np.nan, np.inf, -np.inf, 3e38, -3e38, 2.0**63]
    chosen = rng.choice(far, places.shape)
    return np.where(kind == 3 if not hostile else kind % 2 == 1, chosen, places)


HOSTILE = [
    np.array([np.nan, 1.0, 0.0]),
    np.array([np.inf, 1.0, -1.0]),
    np.array([-np.inf, 0.0, 2.0]),
    np.array([-np.inf]),
    np.array([np.inf, -np.inf, np.nan]),
    np.array([3e38, -3e38, 0.0]),
    np.array([1e300, -1e300, 1e30]),
    np.array([1e9, 1e9 + 64, -1e9]),
    np.array([6e4, -6e4, 7e4]),
    np.array([1e-40, -1e-40, 5e-324]),
    np.array([0.0, -0.0]),
]


def hostile_maps(setting: Setting) -> Array:
    """Maps of infinities, NaN (also with every payload bit), extremes and subnormals."""
    rng = setting.rng()
    array = setting.maps(rng.choice(setting.pick("values", HOSTILE), setting.shape))
    bits = array.stored.view(f"u{array.stored.itemsize}")
    if bits.size and setting.pick("payload", [True, False, False]):
        # With the sign bit and without.
        ones = int(np.iinfo(bits.dtype).max) >> int(rng.integers(2))
        bits[rng.random(setting.shape) < 0.2] = ones
    return array
