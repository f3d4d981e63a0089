// What the ops need to know of one map: its maximum, its norms, its softmax. A team's threads call
// these together and all get the result.
#pragma once

#include "maps.cuh"
#include "window.cuh"

namespace hhd::cuda {

// Calls f(y, x, values) for the vectors of this thread; values past the width are -inf.
template <class T, bool kStaged, class F>
HHD_DEVICE void each_vector(const Source<T, kStaged>& map, const Strips& strips, const F& f) {
  strips.each_vector([&](int y, int x) {
    Accumulator<T> s[kLanes<T>];
    map.vector(y, x, s);
    f(y, x, s);
  });
}

// Calls f(value) for the values that are no padding.
template <class T, class F>
HHD_DEVICE void each_value(const Source<T>& map, int x, const Accumulator<T> (&s)[kLanes<T>],
                           const F& f) {
  if (x + kLanes<T> <= map.width) {
    for (int i = 0; i < kLanes<T>; ++i) f(s[i]);
  } else {
    for (int i = 0; i < kLanes<T>; ++i) {
      if (x + i < map.width) f(s[i]);
    }
  }
}

// The maximum (NaN is passed over) and its first vector. `see(values)` is called for every vector
// on the way.
template <class T, class See>
HHD_DEVICE Peak<Accumulator<T>> find_peak(Team<Accumulator<T>>& team, const Source<T>& map,
                                          const Strips& strips, const See& see) {
  using A = Accumulator<T>;
  Peak<A> best{-kInfinity<A>, kNowhere};
  strips.each([&](int x) {
    A top = -kInfinity<A>;
    int row = -1;
    strips.each_row([&](int y) {
      A s[kLanes<T>];
      map.vector(y, x, s);
      see(s);
      for (int i = 1; i < kLanes<T>; ++i) s[0] = larger_number(s[0], s[i]);
      if (s[0] > top) {
        top = s[0];
        row = y;
      }
    });
    if (row >= 0) best.take(top, static_cast<int64_t>(row) * map.padded + x);
  });
  return team.peak(best);
}

template <class T>
HHD_DEVICE Peak<Accumulator<T>> find_peak(Team<Accumulator<T>>& team, const Source<T>& map,
                                          const Strips& strips) {
  return find_peak(team, map, strips, [](const Accumulator<T>(&)[kLanes<T>]) {});
}

struct Pixel {
  int x, y;
};

// The first pixel, row by row, that holds the maximum; (0, 0) where none does.
template <class T, bool kStaged>
HHD_DEVICE Pixel pixel_of(const Peak<Accumulator<T>>& peak, const Source<T, kStaged>& map) {
  if (peak.index == kNowhere) return {0, 0};
  const int y = static_cast<int>(peak.index / map.padded);
  int x = static_cast<int>(peak.index % map.padded);
  while (map.at(y, x) != peak.value) ++x;
  return {x, y};
}

// What a norm adds up: |x|, x^2 or the positive part.
template <class A>
HHD_DEVICE A norm_term(Normalize kind, A x) {
  return kind == Normalize::kL2 ? x * x : kind == Normalize::kL1 ? abs(x) : positive_part(x);
}

HHD_DEVICE bool has_norm(Normalize kind) {
  return kind == Normalize::kL1 || kind == Normalize::kL2 || kind == Normalize::kL1Positive;
}

// The divisor of l1, l2 and l1_positive, not floored, of a map's values as `of` gives them.
template <class T, class Of>
HHD_DEVICE Accumulator<T> find_norm(Team<Accumulator<T>>& team, const Source<T>& map,
                                    const Strips& strips, Normalize kind, const Of& of) {
  using A = Accumulator<T>;
  A sum[1] = {0};
  each_vector(map, strips, [&](int, int x, const A(&s)[kLanes<T>]) {
    each_value(map, x, s, [&](A v) { sum[0] += norm_term(kind, of(v)); });
  });
  team.sum(sum);
  return kind == Normalize::kL2 ? sqrt(sum[0]) : sum[0];
}

template <class T>
HHD_DEVICE Accumulator<T> find_norm(Team<Accumulator<T>>& team, const Source<T>& map,
                                    const Strips& strips, Normalize kind) {
  return find_norm(team, map, strips, kind, [](Accumulator<T> v) { return v; });
}

// beta as exponentials want it; made on the host.
template <class A>
struct Beta {
  A value;
  A log2e;  // times log2(e)

  static Beta of(double beta) {
    return {static_cast<A>(beta), static_cast<A>(beta * 1.4426950408889634)};
  }
};

// exp(beta (S - max)), 0 where it is below the normal numbers. The difference comes first: it is
// exact where it matters, so that the argument's error stays relative to it.
template <class A>
struct Exponential {
  A max;
  Beta<A> beta;

  HHD_DEVICE A operator()(A s) const { return exp2_or_zero((s - max) * beta.log2e); }
  // ln of it, also where it is 0 itself.
  HHD_DEVICE A log(A s) const { return (s - max) * beta.value; }
};

// Sums over a map with e = exp(beta (S - max)).
template <class A>
struct Mass {
  A sum;
  A x, y;  // expectation, heatmap pixels
  A rest;  // sum e (1 - cover) of a frame's cover; added up directly, since 1 - (mass inside) would
           // lose every digit of a small rest
};

template <class T>
HHD_DEVICE Mass<Accumulator<T>> measure(Team<Accumulator<T>>& team, const Source<T>& map,
                                        const Strips& strips,
                                        const Exponential<Accumulator<T>>& exponential,
                                        const Frame<Accumulator<T>>& frame) {
  using A = Accumulator<T>;
  A sum = 0, moment_x = 0, moment_y = 0, rest = 0;
  strips.each([&](int x) {
    A strip = 0, moment = 0;
    const bool touches = frame.x.touches(x, kLanes<T>);
    strips.each_row([&](int y) {
      A e[kLanes<T>];
      map.vector(y, x, e);
      A mass = 0;
      for (int i = 0; i < kLanes<T>; ++i) {
        e[i] = exponential(e[i]);
        mass += e[i];
        moment += e[i] * static_cast<A>(i);
      }
      strip += mass;
      moment_y += mass * static_cast<A>(y);
      if (touches && frame.y.touches(y, 1)) {
        const A cover = frame.y.cover(y);
        mass = 0;
        for (int i = 0; i < kLanes<T>; ++i) mass += e[i] * (1 - cover * frame.x.cover(x + i));
      }
      rest += mass;
    });
    sum += strip;
    moment_x += strip * static_cast<A>(x) + moment;
  });
  A sums[4] = {sum, moment_x, moment_y, rest};
  team.sum(sums);
  return {sums[0], sums[1] / sums[0], sums[2] / sums[0], sums[3]};
}

// How much of the softmax lies in the 5x5 box at the rounded coordinate: a warp's work.
template <class T, bool kStaged>
HHD_DEVICE Accumulator<T> mass_around(const Team<Accumulator<T>>& team,
                                      const Source<T, kStaged>& map,
                                      const Exponential<Accumulator<T>>& exponential,
                                      const Mass<Accumulator<T>>& mass, Accumulator<T> x,
                                      Accumulator<T> y) {
  using A = Accumulator<T>;
  if (is_nan(x) || is_nan(y)) return x + y;
  const int column = static_cast<int>(floor(x + A(0.5))) - 2 + team.lane() % 5;
  const int row = static_cast<int>(floor(y + A(0.5))) - 2 + team.lane() / 5;
  const bool inside =
      team.lane() < 25 && row >= 0 && row < map.height && column >= 0 && column < map.width;
  A e[1] = {inside ? exponential(map.at(row, column)) : A(0)};
  sum_in_warp(e);
  return e[0] / mass.sum;
}

}  // namespace hhd::cuda
