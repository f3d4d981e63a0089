// What the ops need to know of one map: its maximum, its norms, its softmax.
#pragma once

#include "maps.h"
#include "math.h"

namespace hhd::HHD_ISA {

template <class A>
struct MapSums {
  A max;        // NaN is passed over
  A sum;        // 0 where it was not asked for
  A norm;       // before the root: of |x|, x^2 or the positive part
  int64_t row;  // no row above it holds the maximum; known of a teacher only

  HHD_INLINE bool teacher_has_nan() const { return is_nan(norm); }
};

// What a scan does beside finding the maximum and the norm. A teacher's map always has a norm, as
// NaN anywhere makes it NaN, and its rows are told apart. As nothing else will have fetched it, it
// is fetched ahead: hardware prefetching starts anew at every page, a third of a map.
enum class Scan { kStudent, kStudentWithSum, kTeacher };

// A map is scanned in runs of this many pixels, whatever the length of its rows, and a shorter one.
inline constexpr int64_t kRun = 64;

template <Scan kScan, Packed kPacked, class A, class Term>
HHD_INLINE MapSums<A> scan_with(const Plane<A>& map, const Term& term) {
  const int64_t pixels = map.height * map.width, runs = pixels / kRun;
  const Vec<A> lowest = splat(static_cast<A>(-__builtin_inf()));
  Vec<A> best = lowest, best_run{}, sum{}, norm{};
  A* run = map.data;
  const uint16_t* packed = map.packed_data;
  const auto take = [&](int64_t i, auto length) {
    // Every run has its own sums: one addition would wait for the other.
    Vec<A> run_max = lowest, run_sum{}, run_norm{};
    if constexpr (kPacked != Packed::kNot) {
      for (int64_t x = 0; x < length; x += 32) __builtin_prefetch(packed + x + 2048);
    }
    for_row<A>(length, [&](int64_t x, auto n) {
      Vec<A> v;  // the other lanes are 0
      if constexpr (kPacked != Packed::kNot) {
        v = unpack(load_halves(packed + x, n), kPacked);
        store(run + x, v);
      } else {
        if constexpr (kScan == Scan::kTeacher) __builtin_prefetch(run + x + 4096 / sizeof(A));
        v = load_part(run + x, n, A(0));
      }
      run_max = max_or_second<A>(keep_part<A>(v, n, lowest), run_max);
      if constexpr (kScan == Scan::kStudentWithSum) run_sum += v;
      term(v, run_norm);
    });
    if constexpr (kScan == Scan::kTeacher) {
      best_run = run_max > best ? splat(static_cast<A>(i)) : best_run;
    }
    best = max_or_second<A>(run_max, best);
    sum += run_sum;
    norm += run_norm;
  };
  for (int64_t i = 0; i < runs; ++i, run += kRun) {
    take(i, Constant<kRun>{});
    if constexpr (kPacked != Packed::kNot) packed += kRun;
  }
  if (pixels % kRun > 0) take(runs, pixels % kRun);
  const A max = max_lanes<A>(best);
  int64_t row = 0;
  // Runs are counted in float, which holds whole numbers up to 2^24.
  if (kScan == Scan::kTeacher && runs < int64_t{1} << 24) {
    const Vec<A> beyond = splat(static_cast<A>(runs + 1));
    const A first = -max_lanes<A>(best == splat(max) ? -best_run : -beyond);
    row = min_of(static_cast<int64_t>(first) * kRun / map.width, map.height);
  }
  return {max, sum_lanes<A>(sum), sum_lanes<A>(norm), row};
}

template <Scan kScan, Packed kPacked, class A>
HHD_INLINE MapSums<A> scan_for(const Plane<A>& map, Normalize kind) {
  const auto add_size = [](Vec<A> v, Vec<A>& norm) { norm += v < 0 ? -v : v; };
  switch (kind) {
    case Normalize::kL1:
      return scan_with<kScan, kPacked>(map, add_size);
    case Normalize::kL2:
      return scan_with<kScan, kPacked>(map, [](Vec<A> v, Vec<A>& norm) { norm += v * v; });
    case Normalize::kL1Positive:
      return scan_with<kScan, kPacked>(map,
                                       [](Vec<A> v, Vec<A>& norm) { norm += positive_part<A>(v); });
    default:
      if constexpr (kScan == Scan::kTeacher) return scan_with<kScan, kPacked>(map, add_size);
      return scan_with<kScan, kPacked>(map, [](Vec<A>, Vec<A>&) {});
  }
}

template <Scan kScan, class A>
MapSums<A> scan(const Plane<A>& map, Normalize kind) {
  if constexpr (kPacksHalf<A>) {
    if (map.packed == Packed::kBFloat16) return scan_for<kScan, Packed::kBFloat16>(map, kind);
    if (map.packed == Packed::kFloat16) return scan_for<kScan, Packed::kFloat16>(map, kind);
  }
  return scan_for<kScan, Packed::kNot>(map, kind);
}

// As MapSums::norm, of a map that was scanned, where values below `least` count as 0.
template <class A>
MapSums<A> scan_above(Plane<A> map, Normalize kind, A least) {
  map.packed = Packed::kNot;
  const Vec<A> bound = splat(least);
  return scan_with<Scan::kStudent, Packed::kNot>(map, [&](Vec<A> v, Vec<A>& norm) {
    v = v < bound ? Vec<A>{} : v;
    norm += kind == Normalize::kL2 ? v * v : v < 0 ? -v : v;
  });
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

// The first pixel, row by row, that equals `max`; (0, 0) where none does (NaN). There is none in
// the rows above `first`.
template <class A>
HHD_INLINE Pixel find_peak(const Plane<A>& map, A max, int64_t first = 0) {
  const Vec<A> wanted = splat(max);
  const A nothing = static_cast<A>(__builtin_nan(""));
  for (int64_t i = first; i < map.height; ++i) {
    const A* row = map.row(i);
    int64_t column = -1;
    for_row<A>(map.width, [&](int64_t x, auto n) {
      const uint32_t found = equal_lanes<A>(load_part(row + x, n, nothing), wanted);
      if (found != 0 && column < 0) column = x + __builtin_ctz(found);
    });
    if (column >= 0) return {column, i};
  }
  return {0, 0};
}

// exp(beta (S - max)) of a map, not yet divided by its sum.
template <class A>
struct Softmax {
  Plane<A> e;   // rows padded with 0 to whole vectors
  A* row_sums;  // [height][lanes]: each row's sum, still spread over the lanes
  A max;
  A sum;
  A x, y;  // expectation, heatmap pixels
  A beta;

  // ln e of a logit, also where e itself is 0.
  template <class T>
  HHD_INLINE T log_of_e(T s) const {
    return (s - max) * beta;
  }
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

  // The destination of a gradient that comes next is fetched into the cache on the way.
  HHD_INLINE Softmax<A> compute(const Plane<A>& map, A max, double beta,
                                const Destination& destination = {}) const {
    Softmax<A> p{};
    with_row_length<A>(map.width,
                       [&](auto width) { p = compute_rows(map, width, max, beta, destination); });
    return p;
  }

  HHD_INLINE const A* columns() const { return columns_.get(); }

 private:
  template <class Length>
  HHD_INLINE Softmax<A> compute_rows(const Plane<A>& map, Length width, A max, double beta,
                                     const Destination& destination) const {
    const Vec<A> rate = splat(static_cast<A>(beta * kLog2E)), shift = splat(max);
    // Local copies: a store could change any member, as far as the compiler knows.
    const int64_t height = map.height, stride = map.stride, padded = padded_;
    const A lowest = static_cast<A>(-__builtin_inf());
    const A* columns = columns_.get();
    const A* row = map.data;
    // Without a destination, what is in the cache anyway: address 0 would cost a search each time.
    const char* written =
        destination.data ? destination.data : reinterpret_cast<const char*>(e_.get());
    A* row_sums = row_sums_.get();
    A* out = e_.get();
    Vec<A> total{}, moment_x{}, moment_y{};
    for (int64_t i = 0; i < height; ++i) {
      Vec<A> row_sum{}, row_moment{};
      for_row<A>(width, [&](int64_t x, auto n) {
        // This loop has arithmetic to hide memory's latency under, so it also asks for what comes
        // next: the map that follows in memory, and the lines the gradient will fill.
        __builtin_prefetch(row + height * stride + x);
        __builtin_prefetch(written + x * destination.element_bytes, 1);
        const Vec<A> e = exp2_nonpositive((load_part(row + x, n, lowest) - shift) * rate);
        store(out + x, e);
        row_sum += e;
        row_moment += e * load(columns + x);
      });
      store(row_sums + i * kLanes<A>, row_sum);
      total += row_sum;
      moment_x += row_moment;
      moment_y += row_sum * static_cast<A>(i);
      row += stride;
      out += padded;
      written += destination.row_bytes;
    }
    const A sum = sum_lanes<A>(total);
    const A x = sum_lanes<A>(moment_x) / sum, y = sum_lanes<A>(moment_y) / sum;
    const Plane<A> e{e_.get(), padded, height, map.width};
    return {e, row_sums, max, sum, x, y, static_cast<A>(beta)};
  }

  const int64_t padded_;
  Buffer<A> e_, row_sums_, columns_;
};

// The sum of e over the pixels that a separable cover leaves free: sum e (1 - cover_y cover_x).
// Added up directly, since 1 - (mass inside) would lose every digit of a small rest. Rows outside
// [first, last) are not covered.
template <class A>
HHD_INLINE A sum_uncovered(const Softmax<A>& p, const A* cover_y, const A* cover_x, int64_t first,
                           int64_t last) {
  // Four sums side by side, so that an addition need not wait for the one before.
  Vec<A> rest[4] = {};
  const auto add_rows = [&](int64_t i, int64_t end) {
    for (; i + 4 <= end; i += 4) {
      for (int64_t k = 0; k < 4; ++k) rest[k] += load(p.row_sums + (i + k) * kLanes<A>);
    }
    for (; i < end; ++i) rest[0] += load(p.row_sums + i * kLanes<A>);
  };
  add_rows(0, min_of(first, last));
  with_row_length<A>(p.e.stride, [&](auto stride) {
    for (int64_t i = first; i < last; ++i) {
      const A* row = p.e.row(i);
      const Vec<A> u = splat(cover_y[i]);
      Vec<A> row_rest{};
      for (int64_t x = 0; x < stride; x += kLanes<A>) {
        row_rest += load(row + x) * (1 - u * load(cover_x + x));
      }
      rest[0] += row_rest;
    }
  });
  add_rows(last, p.e.height);
  return sum_lanes<A>((rest[0] + rest[1]) + (rest[2] + rest[3]));
}

// How much of the softmax lies in the 5x5 box at the rounded coordinate.
template <class A>
HHD_INLINE A mass_around(const Softmax<A>& p, A x, A y) {
  if (is_nan(x) || is_nan(y)) return x + y;
  const int64_t cx = static_cast<int64_t>(floor_of(x + A(0.5)));
  const int64_t cy = static_cast<int64_t>(floor_of(y + A(0.5)));
  const int64_t left = max_of<int64_t>(cx - 2, 0), right = min_of(cx + 3, p.e.width);
  Vec<A> mass{};
  for (int64_t i = max_of<int64_t>(cy - 2, 0); i < min_of(cy + 3, p.e.height); ++i) {
    for_vectors(p.e.row(i) + left, right - left, [&](int64_t, Vec<A> v) { mass += v; });
  }
  return sum_lanes<A>(mass) / p.sum;
}

}  // namespace hhd::HHD_ISA
