// Where a window's cells lie: mirror expansion, interpolation, and how much of each pixel the
// window covers. Windows are separable, so everything is said per axis.
#pragma once

#include "maps.h"
#include "math.h"

namespace hhd::HHD_ISA {

// One axis of a window. Cell n reads weight[2n] * pixel[2n] + weight[2n + 1] * pixel[2n + 1];
// a pixel of -1 is a tap that is not there.
template <class A>
struct Axis {
  int64_t cells;
  int64_t length;  // of the map
  int64_t* pixel;
  A* weight;
  bool* inside;         // whether the cell's own position, before mirroring, is in the map
  A* cover;             // [padded length] how much of each pixel the cells inside the map take up
  int64_t first, last;  // pixels touched: [first, last)
  bool leaves;
};

template <class A>
class AxisBuffers {
 public:
  AxisBuffers(int64_t cells, int64_t length)
      : pixel_(2 * cells),
        weight_(2 * cells),
        inside_(cells),
        cover_(round_up_to_lanes<A>(length)),
        axis_{cells, length, pixel_.get(), weight_.get(), inside_.get(), cover_.get(),
              0,     0,      false} {}

  HHD_INLINE const Axis<A>& place(double center, Sampling sampling, Border border) {
    const int64_t n = axis_.cells, length = axis_.length;
    // Beyond this the whole window and its mirror are outside; it also catches NaN.
    const double far = static_cast<double>(n + length + 1);
    if (!(center > -far)) center = -far;
    if (center > far) center = far;
    const int64_t start = static_cast<int64_t>(floor_of(center + 0.5)) - n / 2;
    const double left = center - 0.5 * static_cast<double>(n - 1);
    const double right = static_cast<double>(length - 1);
    axis_.first = length;
    axis_.last = 0;
    axis_.leaves = false;
    for (int64_t i = 0; i < round_up_to_lanes<A>(length); i += kLanes<A>) {
      store(axis_.cover + i, Vec<A>{});
    }
    if (sampling == Sampling::kNearest && start >= 0 && start + n <= length) {
      place_inside(start);
      return axis_;
    }
    for (int64_t i = 0; i < n; ++i) {
      const int64_t opposite = n - 1 - i;
      if (sampling == Sampling::kNearest) {
        int64_t p = start + i;
        const bool inside = p >= 0 && p < length;
        if (!inside) p = start + reflected(i, opposite, p, length, border);
        set_nearest(i, p, inside);
      } else {
        double p = left + static_cast<double>(i);
        const bool inside = p >= 0 && p <= right;
        if (!inside) p = left + static_cast<double>(opposite);
        set_bilinear(i, p, inside, right);
      }
    }
    return axis_;
  }

 private:
  HHD_INLINE void place_inside(int64_t start) {
    axis_.first = start;
    axis_.last = start + axis_.cells;
    for (int64_t i = 0; i < axis_.cells; ++i) {
      axis_.pixel[2 * i] = start + i;
      axis_.pixel[2 * i + 1] = -1;
      axis_.weight[2 * i] = axis_.cover[start + i] = 1;
      axis_.weight[2 * i + 1] = 0;
      axis_.inside[i] = true;
    }
  }

  // The cell that an outside cell repeats; the published code leaves the first line past the
  // right or bottom border empty in odd windows.
  HHD_INLINE static int64_t reflected(int64_t i, int64_t opposite, int64_t p, int64_t length,
                                      Border border) {
    const bool empty = border == Border::kMirrorPublished && (i + opposite) % 2 == 0 && p == length;
    return empty ? i : opposite;
  }

  HHD_INLINE void set_nearest(int64_t i, int64_t p, bool inside) {
    set(i, p >= 0 && p < axis_.length ? p : -1, 1, -1, 0, inside);
  }

  HHD_INLINE void set_bilinear(int64_t i, double p, bool inside, double right) {
    if (!(p >= 0 && p <= right)) return set(i, -1, 0, -1, 0, inside);
    const int64_t low = static_cast<int64_t>(floor_of(p));
    const A f = static_cast<A>(p - static_cast<double>(low));
    const bool two = f > 0 && low + 1 < axis_.length;
    set(i, low, two ? 1 - f : 1, two ? low + 1 : -1, two ? f : 0, inside);
  }

  HHD_INLINE void set(int64_t i, int64_t p0, A w0, int64_t p1, A w1, bool inside) {
    axis_.pixel[2 * i] = p0;
    axis_.pixel[2 * i + 1] = p1;
    axis_.weight[2 * i] = p0 < 0 ? 0 : w0;
    axis_.weight[2 * i + 1] = p1 < 0 ? 0 : w1;
    axis_.inside[i] = inside;
    axis_.leaves |= !inside;
    for (int64_t t = 2 * i; t < 2 * i + 2; ++t) {
      const int64_t p = axis_.pixel[t];
      if (p < 0) continue;
      if (inside) axis_.cover[p] += axis_.weight[t];
      axis_.first = min_of(axis_.first, p);
      axis_.last = max_of(axis_.last, p + 1);
    }
  }

  Buffer<int64_t> pixel_;
  Buffer<A> weight_;
  Buffer<bool> inside_;
  Buffer<A> cover_;
  Axis<A> axis_;
};

// A window on a map: y and x axes, placed anew for every map.
template <class A>
class WindowFrame {
 public:
  WindowFrame(const Window& window, int64_t height, int64_t width)
      : y_buffers_(window.height, height), x_buffers_(window.width, width), window_(window) {}

  HHD_INLINE void place(A center_x, A center_y) {
    y = y_buffers_.place(center_y, window_.sampling, window_.border);
    x = x_buffers_.place(center_x, window_.sampling, window_.border);
  }

  HHD_INLINE bool nearest() const { return window_.sampling == Sampling::kNearest; }

  // Whether cell (n, m) is simply pixel (y.first + n, x.first + m), as for most joints.
  HHD_INLINE bool whole() const { return nearest() && !y.leaves && !x.leaves; }

  // out[cell] = the window of `plane` (of its positive part), times `scale`; a cell that has no
  // pixel is 0, even where the scale is NaN.
  HHD_INLINE void gather(const Plane<A>& plane, bool positive, A scale, A* out) const {
    const auto value = [&](const A* row, int64_t j) {
      return positive && row[j] < 0 ? A(0) : row[j];
    };
    if (whole()) {
      for (int64_t n = 0; n < y.cells; ++n, out += x.cells) {
        for_vectors(plane.row(y.first + n) + x.first, x.cells, [&](int64_t m, Vec<A> v) {
          store_first(out + m, x.cells - m, (positive ? positive_part<A>(v) : v) * scale);
        });
      }
      return;
    }
    for (int64_t n = 0; n < y.cells; ++n, out += x.cells) {
      const int64_t i = y.pixel[2 * n];
      const A* row = plane.row(i < 0 ? 0 : i);
      for (int64_t m = 0; m < x.cells; ++m) {
        const int64_t j = x.pixel[2 * m];
        if (i < 0 || j < 0) {
          out[m] = 0;
        } else if (nearest()) {
          out[m] = value(row, j) * scale;
        } else {
          A sum = 0;
          for_taps(n, m, [&](int64_t a, int64_t b, A w) { sum += w * value(plane.row(a), b); });
          out[m] = sum * scale;
        }
      }
    }
  }

  // Calls f(i, j, weight) for the pixels that cell (n, m) reads.
  template <class F>
  HHD_INLINE void for_taps(int64_t n, int64_t m, const F& f) const {
    for (int64_t a = 2 * n; a < 2 * n + 2; ++a) {
      if (y.pixel[a] < 0) continue;
      for (int64_t b = 2 * m; b < 2 * m + 2; ++b) {
        if (x.pixel[b] >= 0) f(y.pixel[a], x.pixel[b], y.weight[a] * x.weight[b]);
      }
    }
  }

  Axis<A> y{}, x{};

 private:
  AxisBuffers<A> y_buffers_, x_buffers_;
  const Window window_;
};

}  // namespace hhd::HHD_ISA
