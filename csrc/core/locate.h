// Where the windows go: the teacher's centre t and the student's s.
#pragma once

#include "dark.h"
#include "softmax.h"

namespace hhd::HHD_ISA {

template <class A>
struct Point {
  A x, y;
};

template <class A>
HHD_INLINE Point<A> teacher_peak(const Plane<A>& map, const MapSums<A>& sums) {
  if (sums.teacher_has_nan()) return {0, 0};
  const Pixel peak = find_peak(map, sums.max, sums.row);
  return {static_cast<A>(peak.x), static_cast<A>(peak.y)};
}

template <class A>
HHD_INLINE Point<A> teacher_center(const Plane<A>& map, const MapSums<A>& sums, Refine refine,
                                   int64_t blur_kernel) {
  if (refine == Refine::kNone || sums.teacher_has_nan() || !(sums.max > 0)) {
    return teacher_peak(map, sums);
  }
  const Centre c = dark_centre(map.data, map.stride, map.height, map.width, blur_kernel);
  return {static_cast<A>(c.x), static_cast<A>(c.y)};
}

// The official shift, trunc(c / (c - 1) (t - 1 / (2 c))), in float64.
HHD_INLINE double published_shift(double t, double mass, int64_t length, int64_t cells) {
  if (!(mass > 1) || !is_finite(mass) || !is_finite(t)) return t;
  const double s = __builtin_trunc(mass / (mass - 1) * (t - 1 / (2 * mass)));
  const double last = static_cast<double>(cells % 2 == 0 ? length : length - 1);
  return s >= 0 && s <= last ? s : clamp_to(s, 0.0, static_cast<double>(length - 1));
}

// sum exp(S), without beta.
template <class A>
HHD_INLINE A official_mass(const Plane<A>& map, A max) {
  const Vec<A> rate = splat(static_cast<A>(kLog2E));
  const Vec<A> shift = splat(max);
  const A lowest = static_cast<A>(-__builtin_inf());
  Vec<A> sum{};
  for (int64_t i = 0; i < map.height; ++i) {
    for_row<A>(map.width, [&](int64_t x, auto n) {
      sum += exp2_nonpositive((load_part(map.row(i) + x, n, lowest) - shift) * rate);
    });
  }
  return sum_lanes<A>(sum) * exp_of(max);
}

// A mass of at least the map's longer side leaves every position where it is, and two bounds show
// most masses to be larger: the largest term, and HW exp(mean) (Jensen). For whole t only.
template <class A>
HHD_INLINE bool shift_is_nil(const Plane<A>& map, const MapSums<A>& sums, Point<A> t) {
  // Powers of two above the two sizes stand in for logarithms, which would cost more than the test.
  const int64_t longer = max_of(map.height, map.width) + 1;
  const double enough = 0.6931471805599453 * (64 - __builtin_clzll(longer));
  const double pixels = static_cast<double>(map.height * map.width);
  const double log_pixels = 0.6931471805599453 * (63 - __builtin_clzll(map.height * map.width));
  const bool whole = floor_of(t.x) == t.x && floor_of(t.y) == t.y;
  const bool on_map =
      t.x >= 0 && t.y >= 0 && t.x < static_cast<A>(map.width) && t.y < static_cast<A>(map.height);
  return whole && on_map &&
         (static_cast<double>(sums.max) > enough ||
          log_pixels + static_cast<double>(sums.sum) / pixels > enough);
}

template <class A>
HHD_INLINE Point<A> published_center(const Plane<A>& map, const MapSums<A>& sums, Point<A> t,
                                     int64_t window_h, int64_t window_w) {
  if (shift_is_nil(map, sums, t)) return t;
  const double mass = official_mass(map, sums.max);
  return {static_cast<A>(published_shift(t.x, mass, map.width, window_w)),
          static_cast<A>(published_shift(t.y, mass, map.height, window_h))};
}

// The closed form: an expectation at t that a background of share r pulls to the map's middle
// comes from a mode at (t - r (L - 1) / 2) / (1 - r), written so that the middle itself stays.
template <class A>
HHD_INLINE A debiased_shift(A t, A r, int64_t length, int64_t cells) {
  if (!is_finite(t)) return t;
  const A middle = static_cast<A>(length - 1) / 2;
  const A reach = static_cast<A>(cells) / 2;
  const A s = clamp_to(t + (t - middle) * (r / (1 - r)), t - reach, t + reach);
  return clamp_to(s, A(0), static_cast<A>(length - 1));
}

// `cover_y` and `cover_x` are scratch of the map's padded height and width.
template <class A>
HHD_INLINE Point<A> debiased_center(const Plane<A>& map, const Softmax<A>& p, Point<A> t,
                                    int64_t window_h, int64_t window_w, A* cover_y, A* cover_x) {
  const Pixel peak = find_peak(map, p.max);
  const int64_t top = max_of<int64_t>(peak.y - window_h / 2, 0);
  const int64_t left = max_of<int64_t>(peak.x - window_w / 2, 0);
  const int64_t bottom = min_of(peak.y - window_h / 2 + window_h, map.height);
  const int64_t right = min_of(peak.x - window_w / 2 + window_w, map.width);
  const int64_t pixels = map.height * map.width;
  const int64_t boxed = (bottom - top) * (right - left);
  A r = 0;
  if (boxed < pixels) {
    for (int64_t i = 0; i < map.height; ++i) cover_y[i] = i >= top && i < bottom;
    for (int64_t x = 0; x < p.e.stride; ++x) cover_x[x] = x >= left && x < right;
    const A outside = sum_uncovered(p, cover_y, cover_x, top, bottom) / p.sum;
    r = clamp_to(outside * static_cast<A>(pixels) / static_cast<A>(pixels - boxed), A(0), A(0.5));
    // A map with NaN keeps the teacher's centre: it must not slip out of its window and the loss.
    if (is_nan(r)) r = 0;
  }
  return {debiased_shift(t.x, r, map.width, window_w),
          debiased_shift(t.y, r, map.height, window_h)};
}

}  // namespace hhd::HHD_ISA
