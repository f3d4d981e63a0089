// What the ops need to know of one map: its maximum, its norms, its softmax.
#pragma once

#include "maps.h"
#include "math.h"

namespace hhd::HHD_ISA {

template <class A>
struct MapSums {
  A max;  // NaN is passed over
  A sum;
  A norm;  // before the root: of |x|, x^2 or the positive part
  bool has_nan;
};

// Lanes beyond `n` become 0: padding must not enter a sum.
template <class A>
HHD_INLINE Vec<A> keep_lanes(Vec<A> v, int64_t n) {
  for (int64_t i = 0; i < kLanes<A>; ++i) v[i] = i < n ? v[i] : 0;
  return v;
}

// One of the chains that a scan keeps in flight to hide the latency of its adds.
template <class A>
struct ScanChain {
  Vec<A> best = splat(static_cast<A>(-__builtin_inf()));
  Vec<A> sum{};
  Vec<A> norm{};
  Bits<A> nan{};

  template <class Term>
  HHD_INLINE void take(Vec<A> v, const Term& term) {
    best = max_or_second(v, best);
    sum += v;
    norm += term(v);
    nan |= v != v;
  }

  HHD_INLINE void join(const ScanChain& other) {
    best = max_or_second(best, other.best);
    sum += other.sum;
    norm += other.norm;
    nan |= other.nan;
  }
};

template <class A, class Term>
HHD_INLINE MapSums<A> scan_with(const Plane<A>& map, const Term& term) {
  constexpr int64_t lanes = kLanes<A>;
  ScanChain<A> even, odd;
  for (int64_t i = 0; i < map.height; ++i) {
    const A* row = map.row(i);
    int64_t x = 0;
    for (; x + 2 * lanes <= map.width; x += 2 * lanes) {
      even.take(load(row + x), term);
      odd.take(load(row + x + lanes), term);
    }
    if (x + lanes <= map.width) {
      even.take(load(row + x), term);
      x += lanes;
    }
    if (x < map.width) {
      // The padding's -inf may be the maximum's rival, never a sum's term.
      const Vec<A> best = max_or_second(load(row + x), odd.best);
      odd.take(keep_lanes<A>(load(row + x), map.width - x), term);
      odd.best = best;
    }
  }
  even.join(odd);
  return {max_lanes<A>(even.best), sum_lanes<A>(even.sum), sum_lanes<A>(even.norm),
          any_lane<A>(even.nan)};
}

// The map's padding must hold -inf, so that it never is the maximum.
template <class A>
MapSums<A> scan(const Plane<A>& map, Normalize kind) {
  switch (kind) {
    case Normalize::kL1:
      return scan_with(map, [](Vec<A> v) { return v < 0 ? -v : v; });
    case Normalize::kL2:
      return scan_with(map, [](Vec<A> v) { return v * v; });
    case Normalize::kL1Positive:
      return scan_with(map, [](Vec<A> v) { return v < 0 ? Vec<A>{} : v; });
    default:
      return scan_with(map, [](Vec<A>) { return Vec<A>{}; });
  }
}

// The divisor of l1, l2 and l1_positive.
template <class A>
HHD_INLINE A norm_of(const MapSums<A>& sums, Normalize kind) {
  return kind == Normalize::kL2 ? sqrt_of(sums.norm) : sums.norm;
}

struct Pixel {
  int64_t x;
  int64_t y;
};

// The first pixel, row by row, that equals `max`; (0, 0) where none does (NaN).
template <class A>
HHD_INLINE Pixel find_peak(const Plane<A>& map, A max) {
  const Vec<A> wanted = splat(max);
  for (int64_t i = 0; i < map.height; ++i) {
    const A* row = map.row(i);
    Bits<A> found{};
    for (int64_t x = 0; x < map.padded; x += kLanes<A>) found |= load(row + x) == wanted;
    if (!any_lane<A>(found)) continue;
    for (int64_t x = 0; x < map.width; ++x) {
      if (row[x] == max) return {x, i};
    }
  }
  return {0, 0};
}

// exp(beta (S - max)) of a map, not yet divided by its sum.
template <class A>
struct Softmax {
  Plane<A> e;
  A* row_sums;  // [height][lanes]: each row's sum, still spread over the lanes
  A max;
  A sum;
  A x, y;  // expectation, heatmap pixels
};

// Memory for the softmax of one map at a time.
template <class A>
class SoftmaxBuffers {
 public:
  SoftmaxBuffers(int64_t height, int64_t width)
      : padded_(round_up_to_lanes<A>(width)),
        e_(height * padded_),
        row_sums_(height * kLanes<A>),
        columns_(padded_) {
    for (int64_t x = 0; x < padded_; ++x) columns_.get()[x] = static_cast<A>(x);
  }

  // The padding of `map` must hold -inf.
  HHD_INLINE Softmax<A> compute(const Plane<A>& map, A max, double beta) const {
    const Vec<A> rate = splat(static_cast<A>(beta * kLog2E));
    const Vec<A> shift = splat(max);
    Vec<A> total{}, moment_x{}, moment_y{};
    for (int64_t i = 0; i < map.height; ++i) {
      const A* row = map.row(i);
      A* out = e_.get() + i * padded_;
      // The next map's row, as maps mostly follow one another: the scan before the next softmax
      // would wait for memory, while this loop has arithmetic to hide the wait under.
      const A* next = map.row(i + map.height);
      Vec<A> row_sum{};
      for (int64_t x = 0; x < padded_; x += kLanes<A>) {
        __builtin_prefetch(next + x);
        const Vec<A> e = exp2_nonpositive((load(row + x) - shift) * rate);
        store(out + x, e);
        row_sum += e;
        moment_x += e * load(columns_.get() + x);
      }
      store(row_sums_.get() + i * kLanes<A>, row_sum);
      total += row_sum;
      moment_y += row_sum * static_cast<A>(i);
    }
    const A sum = sum_lanes<A>(total);
    return {{e_.get(), padded_, map.height, map.width, padded_},
            row_sums_.get(),
            max,
            sum,
            sum_lanes<A>(moment_x) / sum,
            sum_lanes<A>(moment_y) / sum};
  }

  HHD_INLINE const A* columns() const { return columns_.get(); }

 private:
  const int64_t padded_;
  Buffer<A> e_, row_sums_, columns_;
};

// The sum of e over the pixels that a separable cover leaves free: sum e (1 - cover_y cover_x).
// Added up directly, since 1 - (mass inside) would lose every digit of a small rest. Rows outside
// [first, last) are not covered.
template <class A>
HHD_INLINE A sum_uncovered(const Softmax<A>& p, const A* cover_y, const A* cover_x, int64_t first,
                           int64_t last) {
  Vec<A> rest{};
  for (int64_t i = 0; i < p.e.height; ++i) {
    if (i >= first && i < last) {
      const A* row = p.e.row(i);
      const Vec<A> u = splat(cover_y[i]);
      for (int64_t x = 0; x < p.e.padded; x += kLanes<A>) {
        rest += load(row + x) * (1 - u * load(cover_x + x));
      }
    } else {
      rest += load(p.row_sums + i * kLanes<A>);
    }
  }
  return sum_lanes<A>(rest);
}

// How much of the softmax lies in the 5x5 box at the rounded coordinate.
template <class A>
HHD_INLINE A mass_around(const Softmax<A>& p, A x, A y) {
  if (is_nan(x) || is_nan(y)) return x + y;
  const int64_t cx = static_cast<int64_t>(floor_of(x + A(0.5)));
  const int64_t cy = static_cast<int64_t>(floor_of(y + A(0.5)));
  A mass = 0;
  for (int64_t i = max_of<int64_t>(cy - 2, 0); i < min_of(cy + 3, p.e.height); ++i) {
    for (int64_t j = max_of<int64_t>(cx - 2, 0); j < min_of(cx + 3, p.e.width); ++j) {
      mass += p.e.row(i)[j];
    }
  }
  return mass / p.sum;
}

}  // namespace hhd::HHD_ISA
