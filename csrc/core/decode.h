// Heatmap decoding on raw pointers and byte strides: peak, quarter offset and DARK.
//
// A coordinate is (x, y) in heatmap pixels; the centre of column i is x = i. Plain C++17 without
// torch, Python, threads or static state. The caller checks shapes (H, W >= 1, odd kernel >= 1).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

namespace hhd::host {

// IEEE binary16 as NumPy stores it.
struct Half {
  std::uint16_t bits;
};

inline float Widen(Half half) {
  std::uint32_t bits = static_cast<std::uint32_t>(half.bits & 0x7fffu) << 13;
  const std::uint32_t sign = static_cast<std::uint32_t>(half.bits & 0x8000u) << 16;
  // Exponent 31 (infinity, NaN) keeps its payload; every other exponent is rebiased by 127 - 15,
  // which as a multiplication also normalises the subnormal halves.
  const bool is_finite = bits < 0x0f800000u;
  if (!is_finite) bits |= 0x7f800000u;
  float magnitude;
  std::memcpy(&magnitude, &bits, sizeof(magnitude));
  if (is_finite) magnitude *= 0x1p112f;
  std::memcpy(&bits, &magnitude, sizeof(bits));
  bits |= sign;
  std::memcpy(&magnitude, &bits, sizeof(magnitude));
  return magnitude;
}
inline float Widen(float value) { return value; }
inline double Widen(double value) { return value; }

// The type in which values of T are compared: float for Half and float, double for double.
template <typename T>
using Wide = decltype(Widen(T{}));

// One map of H x W values of type T. Strides are in bytes and may be zero, negative or not a
// multiple of the element's size, as NumPy allows.
template <typename T>
struct MapView {
  const char* data;
  std::int64_t height;
  std::int64_t width;
  std::int64_t row_bytes;
  std::int64_t column_bytes;

  static Wide<T> Load(const char* address) {
    T value;
    // memcpy because NumPy does not promise alignment; it compiles to one load.
    std::memcpy(&value, address, sizeof(T));
    return Widen(value);
  }
  const char* Row(std::int64_t y) const { return data + y * row_bytes; }
  Wide<T> At(std::int64_t y, std::int64_t x) const { return Load(Row(y) + x * column_bytes); }
};

// The largest value of a map and the lowest row-major index that holds it.
struct Peak {
  std::int64_t x = 0;
  std::int64_t y = 0;
  double value = std::numeric_limits<double>::quiet_NaN();  // stays NaN if the map has a NaN
};

namespace internal {

template <typename T>
struct RowSummary {
  Wide<T> max;
  bool has_nan;
};

// `step` is a compile-time constant for contiguous rows, so that the compiler can vectorise them.
template <typename T, typename Step>
RowSummary<T> SummariseRow(const char* row, std::int64_t width, Step step) {
  constexpr int kLanes = 8;
  Wide<T> max[kLanes];
  Wide<T> nan[kLanes];
  for (int lane = 0; lane < kLanes; ++lane) {
    max[lane] = -std::numeric_limits<Wide<T>>::infinity();
    nan[lane] = 0;
  }
  std::int64_t x = 0;
  for (; x + kLanes <= width; x += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const Wide<T> value = MapView<T>::Load(row + (x + lane) * step);
      max[lane] = value > max[lane] ? value : max[lane];
      nan[lane] = value == value ? nan[lane] : Wide<T>{1};
    }
  }
  for (; x < width; ++x) {
    const Wide<T> value = MapView<T>::Load(row + x * step);
    max[0] = value > max[0] ? value : max[0];
    nan[0] = value == value ? nan[0] : Wide<T>{1};
  }
  RowSummary<T> summary{max[0], nan[0] != 0};
  for (int lane = 1; lane < kLanes; ++lane) {
    if (max[lane] > summary.max) summary.max = max[lane];
    summary.has_nan = summary.has_nan || nan[lane] != 0;
  }
  return summary;
}

}  // namespace internal

template <typename T>
Peak FindPeak(const MapView<T>& map) {
  constexpr std::integral_constant<std::int64_t, sizeof(T)> kContiguous{};
  Peak peak;
  Wide<T> best{};
  for (std::int64_t y = 0; y < map.height; ++y) {
    const auto row = map.column_bytes == kContiguous
                         ? internal::SummariseRow<T>(map.Row(y), map.width, kContiguous)
                         : internal::SummariseRow<T>(map.Row(y), map.width, map.column_bytes);
    if (row.has_nan) return Peak{};
    if (y == 0 || row.max > best) {
      best = row.max;
      peak.y = y;
    }
  }
  while (map.At(peak.y, peak.x) != best) ++peak.x;
  peak.value = static_cast<double>(best);
  return peak;
}

// Where HRNet (lib/core/inference.py) and mmpose 1.x (codecs/utils) disagree.
enum class Convention { kMmpose, kHrnet };

struct Decoded {
  double x;
  double y;
  double score;  // the map's maximum, NaN if the map has a NaN
};

// A map without a positive value has no joint: mmpose marks it (-1, -1), HRNet (0, 0).
inline Decoded NoJoint(const Peak& peak, Convention convention) {
  const double mark = convention == Convention::kMmpose ? -1.0 : 0.0;
  return {mark, mark, peak.value};
}

inline bool HasJoint(const Peak& peak) { return peak.value > 0.0; }

template <typename T>
Decoded DecodePlain(const MapView<T>& map, Convention convention) {
  const Peak peak = FindPeak(map);
  if (!HasJoint(peak)) return NoJoint(peak, convention);
  return {static_cast<double>(peak.x), static_cast<double>(peak.y), peak.value};
}

// A quarter pixel towards the higher neighbour, per axis.
template <typename T>
Decoded DecodeQuarter(const MapView<T>& map, Convention convention) {
  const Peak peak = FindPeak(map);
  if (!HasJoint(peak)) return NoJoint(peak, convention);
  const bool interior_x = 1 < peak.x && peak.x < map.width - 1;
  const bool interior_y = 1 < peak.y && peak.y < map.height - 1;
  // mmpose tests each axis by itself (and only x, y > 0 on the other), HRNet asks for both.
  const bool hrnet = convention == Convention::kHrnet;
  const bool moves_x = interior_x && (hrnet ? interior_y : peak.y > 0);
  const bool moves_y = interior_y && (hrnet ? interior_x : peak.x > 0);

  const auto quarter = [](Wide<T> before, Wide<T> after) {
    return 0.25 * ((after > before) - (after < before));
  };
  Decoded joint{static_cast<double>(peak.x), static_cast<double>(peak.y), peak.value};
  if (moves_x) joint.x += quarter(map.At(peak.y, peak.x - 1), map.At(peak.y, peak.x + 1));
  if (moves_y) joint.y += quarter(map.At(peak.y - 1, peak.x), map.At(peak.y + 1, peak.x));
  return joint;
}

// A normalised Gaussian of `size` taps with OpenCV's sigma for that size.
class GaussianKernel {
 public:
  explicit GaussianKernel(int size) : radius_(size / 2), taps_(static_cast<std::size_t>(size)) {
    const double sigma = 0.3 * ((size - 1) * 0.5 - 1.0) + 0.8;
    double sum = 0.0;
    for (int n = -radius_; n <= radius_; ++n) {
      sum += Tap(n) = std::exp(-(static_cast<double>(n) * n) / (2.0 * sigma * sigma));
    }
    for (double& tap : taps_) tap /= sum;
  }

  std::int64_t radius() const { return radius_; }
  double operator()(std::int64_t n) const { return taps_[static_cast<std::size_t>(n + radius_)]; }

 private:
  double& Tap(int n) { return taps_[static_cast<std::size_t>(n + radius_)]; }

  int radius_;
  std::vector<double> taps_;
};

namespace internal {

// Values at the 5 x 5 pixels around a centre; patch(dy, dx) with -2 <= dy, dx <= 2.
struct Patch {
  double values[5][5] = {};
  double& operator()(int dy, int dx) { return values[dy + 2][dx + 2]; }
  double operator()(int dy, int dx) const { return values[dy + 2][dx + 2]; }
};

// sum_n g(n) M[y, x + n] with zeros outside the map.
template <typename T>
double BlurAlongRow(const MapView<T>& map, const GaussianKernel& g, std::int64_t y,
                    std::int64_t x) {
  const std::int64_t first = std::max(-g.radius(), -x);
  const std::int64_t last = std::min(g.radius(), map.width - 1 - x);
  double sum = 0.0;
  for (std::int64_t n = first; n <= last; ++n) {
    sum += g(n) * static_cast<double>(map.At(y, x + n));
  }
  return sum;
}

template <typename T>
Patch BlurredPatch(const MapView<T>& map, const GaussianKernel& g, const Peak& centre) {
  Patch patch;
  const std::int64_t reach = g.radius() + 2;
  const std::int64_t top = std::max<std::int64_t>(0, centre.y - reach);
  const std::int64_t bottom = std::min(map.height - 1, centre.y + reach);
  for (std::int64_t y = top; y <= bottom; ++y) {
    for (int dx = -2; dx <= 2; ++dx) {
      const double along_row = BlurAlongRow(map, g, y, centre.x + dx);
      for (int dy = -2; dy <= 2; ++dy) {
        const std::int64_t n = y - (centre.y + dy);
        if (-g.radius() <= n && n <= g.radius()) patch(dy, dx) += g(n) * along_row;
      }
    }
  }
  return patch;
}

template <typename T>
double MaxOfBlurredMap(const MapView<T>& map, const GaussianKernel& g) {
  std::vector<double> rows(static_cast<std::size_t>(map.height * map.width));
  for (std::int64_t y = 0; y < map.height; ++y) {
    for (std::int64_t x = 0; x < map.width; ++x) {
      rows[static_cast<std::size_t>(y * map.width + x)] = BlurAlongRow(map, g, y, x);
    }
  }
  const auto bytes = static_cast<std::int64_t>(sizeof(double));
  // The second pass runs down the columns: the same sum over the transposed view.
  const MapView<double> columns{reinterpret_cast<const char*>(rows.data()), map.width, map.height,
                                bytes, map.width * bytes};
  double max = -std::numeric_limits<double>::infinity();
  for (std::int64_t y = 0; y < map.height; ++y) {
    for (std::int64_t x = 0; x < map.width; ++x) {
      const double value = BlurAlongRow(columns, g, x, y);
      if (value > max) max = value;
    }
  }
  return max;
}

}  // namespace internal

// DARK (Zhang et al., CVPR 2020) as in mmpose 1.x `refine_keypoints_dark`. With
//   f = log(max(1e-10, blur(M) * max(M) / max(blur(M)))),
// central differences of spacing 1 (first) and 2 (second) give a gradient and a Hessian at the
// peak of the unblurred map, and the joint is the peak minus Hessian^-1 gradient. Unrefined: a peak
// within two pixels of the border, a singular Hessian, a step that is not finite. The result is
// clamped to the map.
template <typename T>
Decoded DecodeDark(const MapView<T>& map, const GaussianKernel& kernel, Convention convention) {
  const Peak peak = FindPeak(map);
  if (!HasJoint(peak)) return NoJoint(peak, convention);
  Decoded joint{static_cast<double>(peak.x), static_cast<double>(peak.y), peak.value};
  const bool interior =
      1 < peak.x && peak.x < map.width - 2 && 1 < peak.y && peak.y < map.height - 2;
  if (!interior) return joint;

  constexpr double kFloor = 1e-10;
  internal::Patch f = internal::BlurredPatch(map, kernel, peak);
  bool above_floor = true;
  for (const auto& row : f.values) {
    for (const double value : row) above_floor = above_floor && value > kFloor;
  }
  // The rescaling only adds a constant to the logarithm, which differences do not see, unless the
  // floor cuts in. A mean never exceeds the maximum, so the factor is >= 1: where the unscaled
  // values are above the floor so are the scaled ones, and the map need not be blurred as a whole.
  const double scale = above_floor ? 1.0 : peak.value / internal::MaxOfBlurredMap(map, kernel);
  for (auto& row : f.values) {
    for (double& value : row) {
      const double scaled = value * scale;
      value = std::log(scaled < kFloor ? kFloor : scaled);  // lets NaN through
    }
  }

  const double dx = 0.5 * (f(0, 1) - f(0, -1));
  const double dy = 0.5 * (f(1, 0) - f(-1, 0));
  const double dxx = 0.25 * (f(0, 2) - 2.0 * f(0, 0) + f(0, -2));
  const double dyy = 0.25 * (f(2, 0) - 2.0 * f(0, 0) + f(-2, 0));
  const double dxy = 0.25 * (f(1, 1) - f(-1, 1) - f(1, -1) + f(-1, -1));
  const double det = dxx * dyy - dxy * dxy;
  const double step_x = -(dyy * dx - dxy * dy) / det;
  const double step_y = -(dxx * dy - dxy * dx) / det;
  // A singular Hessian ends here too: the division has made its step infinite or NaN.
  if (!std::isfinite(step_x) || !std::isfinite(step_y)) return joint;

  joint.x = std::clamp(joint.x + step_x, 0.0, static_cast<double>(map.width - 1));
  joint.y = std::clamp(joint.y + step_y, 0.0, static_cast<double>(map.height - 1));
  return joint;
}

}  // namespace hhd::host
