// DARK's sub-pixel step, as csrc/core/decode.h's DecodeDark with mmpose's convention; in float64,
// since it takes second differences of logarithms.
#pragma once

#include "locate.cuh"

namespace hhd::cuda {

// A normalised Gaussian of 2 radius + 1 taps with OpenCV's sigma for that size; made on the host.
class GaussianKernel {
 public:
  explicit GaussianKernel(int64_t size) : radius_(static_cast<int>(size / 2)) {
    const double sigma = 0.3 * ((static_cast<double>(size) - 1) * 0.5 - 1.0) + 0.8;
    divisor_ = 2.0 * sigma * sigma;
    double sum = 0;
    for (int64_t n = -radius_; n <= radius_; ++n)
      sum += ::exp(-static_cast<double>(n * n) / divisor_);
    scale_ = 1 / sum;
    for (int n = 0; n < kTable; ++n)
      table_[n] = ::exp(-static_cast<double>(n * n) / divisor_) / sum;
  }

  HHD_DEVICE int radius() const { return radius_; }

  HHD_DEVICE double operator()(int n) const {
    const int distance = n < 0 ? -n : n;
    if (distance < kTable) return table_[distance];
    const double d = static_cast<double>(distance);
    return exp(-d * d / divisor_) * scale_;
  }

 private:
  static constexpr int kTable = 16;

  int radius_;
  double divisor_, scale_;
  double table_[kTable];
};

// The map blurred, zeros outside it, at one pixel.
template <class T>
HHD_DEVICE double blurred(const Source<T>& map, const GaussianKernel& g, int y, int x) {
  const int top = max_of(-g.radius(), -y), bottom = min_of(g.radius(), map.height - 1 - y);
  const int left = max_of(-g.radius(), -x), right = min_of(g.radius(), map.width - 1 - x);
  double sum = 0;
#pragma unroll 1
  for (int n = top; n <= bottom; ++n) {
    double row = 0;
#pragma unroll 1
    for (int m = left; m <= right; ++m) row += g(m) * static_cast<double>(map.at(y + n, x + m));
    sum += g(n) * row;
  }
  return sum;
}

template <class T>
HHD_DEVICE double max_of_blurred(Team<Accumulator<T>>& team, const Source<T>& map,
                                 const GaussianKernel& g) {
  double max = -kInfinity<double>;
  const int64_t pixels = static_cast<int64_t>(map.height) * map.width;
#pragma unroll 1
  for (int64_t n = team.thread; n < pixels; n += team.threads) {
    const double v =
        blurred(map, g, static_cast<int>(n / map.width), static_cast<int>(n % map.width));
    if (v > max) max = v;
  }
  return team.peak(Peak<double>{max, 0}).value;
}

// With f = log(max(1e-10, blur(M) max(M) / max(blur(M)))), the peak minus Hessian^-1 gradient.
// Unrefined: a peak within two pixels of the border, a singular Hessian, a step that is not finite.
// Needs a map whose maximum is positive and not NaN. The whole team calls it.
template <class T>
HHD_DEVICE Point<Accumulator<T>> dark_center(Team<Accumulator<T>>& team, const Source<T>& map,
                                             const GaussianKernel& g, Pixel peak,
                                             Accumulator<T> max) {
  using A = Accumulator<T>;
  const Point<A> unrefined{static_cast<A>(peak.x), static_cast<A>(peak.y)};
  const bool interior =
      1 < peak.x && peak.x < map.width - 2 && 1 < peak.y && peak.y < map.height - 2;
  if (!interior) return unrefined;

  // Lane 5 (dy + 2) + dx + 2 of every warp has pixel (dy, dx) of the 5 x 5 around the peak.
  constexpr double kFloor = 1e-10;
  const int lane = team.lane() < 25 ? team.lane() : 12;
  double value = blurred(map, g, peak.y + lane / 5 - 2, peak.x + lane % 5 - 2);
  double below[1] = {value > kFloor ? 0.0 : 1.0};
  sum_in_warp(below);
  // The rescaling only adds a constant to the logarithm, which differences do not see, unless the
  // floor cuts in. A mean never exceeds the maximum, so the factor is >= 1: where the unscaled
  // values are above the floor so are the scaled ones, and the map need not be blurred as a whole.
  if (below[0] > 0) value *= static_cast<double>(max) / max_of_blurred(team, map, g);
  value = log(value < kFloor ? kFloor : value);  // lets NaN through
  const auto f = [&](int dy, int dx) { return shuffle(kFullWarp, value, 5 * (dy + 2) + dx + 2); };

  const double centre = f(0, 0);
  const double dx = 0.5 * (f(0, 1) - f(0, -1));
  const double dy = 0.5 * (f(1, 0) - f(-1, 0));
  const double dxx = 0.25 * (f(0, 2) - 2.0 * centre + f(0, -2));
  const double dyy = 0.25 * (f(2, 0) - 2.0 * centre + f(-2, 0));
  const double dxy = 0.25 * (f(1, 1) - f(-1, 1) - f(1, -1) + f(-1, -1));
  const double det = dxx * dyy - dxy * dxy;
  const double step_x = -(dyy * dx - dxy * dy) / det;
  const double step_y = -(dxx * dy - dxy * dx) / det;
  // A singular Hessian ends here too: the division has made its step infinite or NaN.
  if (!is_finite(step_x) || !is_finite(step_y)) return unrefined;
  const double x = clamp_to(peak.x + step_x, 0.0, static_cast<double>(map.width - 1));
  const double y = clamp_to(peak.y + step_y, 0.0, static_cast<double>(map.height - 1));
  return {static_cast<A>(x), static_cast<A>(y)};
}

}  // namespace hhd::cuda
