// Soft-argmax of one map on raw pointers and byte strides, accumulated in double.
//
// Plain C++17 without torch, Python, threads or static state; views and units as in decode.h.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "decode.h"

namespace hhd::host {

namespace internal {

// Rows [top, bottom) and columns [left, right).
struct Box {
  std::int64_t top;
  std::int64_t bottom;
  std::int64_t left;
  std::int64_t right;
};

// The pixels of the map within `reach` rows and columns of (x, y).
inline Box BoxAround(std::int64_t x, std::int64_t y, std::int64_t reach, std::int64_t height,
                     std::int64_t width) {
  return {std::max<std::int64_t>(0, y - reach), std::min(height, y + reach + 1),
          std::max<std::int64_t>(0, x - reach), std::min(width, x + reach + 1)};
}

struct Moments {
  double mass = 0.0;  // sum e
  double x = 0.0;     // sum e x
  double y = 0.0;     // sum e y
};

// Moments of e = exp(beta (S - max)) over a box; every e is in [0, 1], so nothing overflows.
template <typename T>
Moments SumExp(const MapView<T>& logits, const Box& box, double beta, double max) {
  Moments total;
  for (std::int64_t y = box.top; y < box.bottom; ++y) {
    double row_mass = 0.0;
    for (std::int64_t x = box.left; x < box.right; ++x) {
      const double e = std::exp(beta * (static_cast<double>(logits.At(y, x)) - max));
      row_mass += e;
      total.x += e * static_cast<double>(x);
    }
    total.mass += row_mass;
    total.y += row_mass * static_cast<double>(y);
  }
  return total;
}

}  // namespace internal

struct Expectation {
  double x;
  double y;
  double confidence;
};

// p = softmax(beta S); (x, y) is its expectation over the map (window 0), or over the pixels within
// window / 2 rows and columns of the peak, p renormalised there. The confidence is the mass of the
// whole map's p in the 5 x 5 box at the rounded (x, y). NaN if S has a NaN or no finite maximum.
template <typename T>
Expectation SoftArgmax(const MapView<T>& logits, double beta, std::int64_t window) {
  const Peak peak = FindPeak(logits);
  if (!std::isfinite(peak.value)) {
    constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
    return {kNan, kNan, kNan};
  }
  const internal::Box map{0, logits.height, 0, logits.width};
  const internal::Moments whole = internal::SumExp(logits, map, beta, peak.value);
  internal::Moments local = whole;
  if (window > 0) {
    const internal::Box box =
        internal::BoxAround(peak.x, peak.y, window / 2, logits.height, logits.width);
    local = internal::SumExp(logits, box, beta, peak.value);
  }
  const double x = local.x / local.mass;
  const double y = local.y / local.mass;

  constexpr std::int64_t kConfidenceReach = 2;
  const internal::Box near = internal::BoxAround(static_cast<std::int64_t>(std::floor(x + 0.5)),
                                                 static_cast<std::int64_t>(std::floor(y + 0.5)),
                                                 kConfidenceReach, logits.height, logits.width);
  return {x, y, internal::SumExp(logits, near, beta, peak.value).mass / whole.mass};
}

}  // namespace hhd::host
