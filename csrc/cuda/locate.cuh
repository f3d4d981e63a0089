// Where the windows go: the teacher's centre t and the student's s.
#pragma once

#include "softmax.cuh"

namespace hhd::cuda {

template <class A>
struct Point {
  A x, y;
};

template <class A>
HHD_DEVICE Point<A> read_point(const View& v, int64_t b, int64_t k) {
  const int64_t at = offset_of(v, b, k);
  return {read<A>(v, at), read<A>(v, at + v.stride[2])};
}

template <class A>
HHD_DEVICE void write_point(const View& v, int64_t b, int64_t k, Point<A> p) {
  const int64_t at = offset_of(v, b, k);
  store(elements<A>(v, at), p.x);
  store(elements<A>(v, at + v.stride[2]), p.y);
}

// A teacher's maximum, whether it has NaN, and where its peak lies.
template <class A>
struct TeacherPeak {
  A max;
  bool has_nan;
  Pixel at;

  HHD_DEVICE Point<A> center() const { return {static_cast<A>(at.x), static_cast<A>(at.y)}; }
};

template <class T>
HHD_DEVICE TeacherPeak<Accumulator<T>> teacher_peak(Team<Accumulator<T>>& team,
                                                    const Source<T>& map, const Strips& strips) {
  using A = Accumulator<T>;
  A nan[1] = {0};
  const Peak<A> peak = find_peak(team, map, strips, [&](const A(&s)[kLanes<T>]) {
    for (int i = 0; i < kLanes<T>; ++i) nan[0] += is_nan(s[i]) ? 1 : 0;
  });
  team.sum(nan);
  const bool has_nan = nan[0] > 0;
  return {peak.value, has_nan, has_nan ? Pixel{0, 0} : pixel_of(peak, map)};
}

// How the student's centre follows from its map and the teacher's centre; made on the host.
template <class A>
struct Locating {
  Locate mode;
  int window_h, window_w;
  A enough;      // a published mass of exp(enough) moves no centre
  A log_pixels;  // of the map, rounded down
  // Per axis, the last position that the published shift may give, and that it is clamped to.
  double legal_x, legal_y, last_x, last_y;

  Locating(Locate mode, int64_t window_h, int64_t window_w, const View& maps)
      : mode(mode), window_h(static_cast<int>(window_h)), window_w(static_cast<int>(window_w)) {
    const double longer = static_cast<double>(max_of(maps.size[2], maps.size[3]) + 1);
    enough = static_cast<A>(1.001 * ::log(longer));
    log_pixels = static_cast<A>(0.999 * ::log(static_cast<double>(maps.size[2] * maps.size[3])));
    last_x = static_cast<double>(maps.size[3] - 1);
    last_y = static_cast<double>(maps.size[2] - 1);
    legal_x = last_x + (window_w % 2 == 0 ? 1 : 0);
    legal_y = last_y + (window_h % 2 == 0 ? 1 : 0);
  }
};

// The official shift, trunc(c / (c - 1) (t - 1 / (2 c))), in float64.
HHD_DEVICE double published_shift(double t, double mass, double legal, double last) {
  if (!(mass > 1) || !is_finite(mass) || !is_finite(t)) return t;
  const double s = trunc(mass / (mass - 1) * (t - 1 / (2 * mass)));
  return s >= 0 && s <= legal ? s : clamp_to(s, 0.0, last);
}

// sum exp(S), without beta.
template <class T>
HHD_DEVICE Accumulator<T> official_mass(Team<Accumulator<T>>& team, const Source<T>& map,
                                        const Strips& strips, Accumulator<T> max) {
  using A = Accumulator<T>;
  A sum[1] = {0};
  each_vector(map, strips, [&](int, int, const A(&s)[kLanes<T>]) {
    for (int i = 0; i < kLanes<T>; ++i) sum[0] += exp(s[i] - max);
  });
  team.sum(sum);
  return sum[0] * exp(max);
}

// A mass of at least the map's longer side leaves every position where it is, and two bounds show
// most masses to be larger: the largest term, and HW exp(mean) (Jensen). For whole t only.
template <class T>
HHD_DEVICE bool shift_is_nil(Team<Accumulator<T>>& team, const Source<T>& map, const Strips& strips,
                             const Locating<Accumulator<T>>& locating, Accumulator<T> max,
                             Point<Accumulator<T>> t) {
  using A = Accumulator<T>;
  const bool whole = floor(t.x) == t.x && floor(t.y) == t.y;
  const bool on_map =
      t.x >= 0 && t.y >= 0 && t.x < static_cast<A>(map.width) && t.y < static_cast<A>(map.height);
  if (!whole || !on_map) return false;
  if (max > locating.enough) return true;
  A sum[1] = {0};
  each_vector(map, strips, [&](int, int x, const A(&s)[kLanes<T>]) {
    each_value(map, x, s, [&](A v) { sum[0] += v; });
  });
  team.sum(sum);
  const A pixels = static_cast<A>(map.height) * static_cast<A>(map.width);
  return locating.log_pixels + sum[0] / pixels > locating.enough;
}

template <class T>
HHD_DEVICE Point<Accumulator<T>> published_center(Team<Accumulator<T>>& team, const Source<T>& map,
                                                  const Strips& strips,
                                                  const Locating<Accumulator<T>>& locating,
                                                  Accumulator<T> max, Point<Accumulator<T>> t) {
  using A = Accumulator<T>;
  if (shift_is_nil(team, map, strips, locating, max, t)) return t;
  const double mass = official_mass(team, map, strips, max);
  return {static_cast<A>(published_shift(t.x, mass, locating.legal_x, locating.last_x)),
          static_cast<A>(published_shift(t.y, mass, locating.legal_y, locating.last_y))};
}

// The closed form: an expectation at t that a background of share r pulls to the map's middle
// comes from a mode at (t - r (L - 1) / 2) / (1 - r), written so that the middle itself stays.
template <class A>
HHD_DEVICE A debiased_shift(A t, A r, int length, int cells) {
  if (!is_finite(t)) return t;
  const A middle = static_cast<A>(length - 1) / 2;
  const A reach = static_cast<A>(cells) / 2;
  const A s = clamp_to(t + (t - middle) * (r / (1 - r)), t - reach, t + reach);
  return clamp_to(s, A(0), static_cast<A>(length - 1));
}

// The window round the student's peak whose outside counts as background.
template <class A>
HHD_DEVICE Window debiasing_box(const Locating<A>& locating) {
  return {locating.window_h, locating.window_w, Sampling::kNearest, Border::kMirror};
}

// `mass` is measured with the box as its frame.
template <class T>
HHD_DEVICE Point<Accumulator<T>> debiased_center(const Source<T>& map,
                                                 const Mass<Accumulator<T>>& mass,
                                                 const Frame<Accumulator<T>>& box,
                                                 const Locating<Accumulator<T>>& locating,
                                                 Point<Accumulator<T>> t) {
  using A = Accumulator<T>;
  const A pixels = static_cast<A>(map.height) * static_cast<A>(map.width);
  const A boxed = static_cast<A>(box.y.end - box.y.begin) * static_cast<A>(box.x.end - box.x.begin);
  A r = 0;
  if (boxed < pixels) {
    r = clamp_to(mass.rest / mass.sum * pixels / (pixels - boxed), A(0), A(0.5));
    // A map with NaN keeps the teacher's centre: it must not slip out of its window and the loss.
    if (is_nan(r)) r = 0;
  }
  return {debiased_shift(t.x, r, map.width, locating.window_w),
          debiased_shift(t.y, r, map.height, locating.window_h)};
}

}  // namespace hhd::cuda
