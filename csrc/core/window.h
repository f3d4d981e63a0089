// Where a window's cells lie: mirror expansion, interpolation, and how much of each pixel the
// window covers. Windows are separable, so everything is said per axis.
#pragma once

#include "maps.h"
#include "math.h"

namespace hhd::HHD_ISA {

// One axis of a window on a map, placed anew for every map.
template <class A>
class Axis {
 public:
  Axis(int64_t cell_count, int64_t map_length, const Window& window)
      : cells(cell_count),
        length(map_length),
        window_(window),
        pixel_(2 * cells),
        weight_(2 * cells),
        inside_(cells),
        cover_(round_up_to_lanes<A>(length)) {}

  HHD_INLINE void place(double center) {
    // Beyond this the whole window and its mirror are outside; it also catches NaN.
    const double far = static_cast<double>(cells + length + 1);
    if (!(center > -far)) center = -far;
    if (center > far) center = far;
    center_ = center;
    start_ = static_cast<int64_t>(floor_of(center + 0.5)) - cells / 2;
    leaves = !nearest() || start_ < 0 || start_ + cells > length;
    clear(cover(), length);
    if (leaves) return;
    first = start_;
    last = start_ + cells;
    for (int64_t i = 0; i < cells; i += kLanes<A>) {
      store_first(cover() + start_ + i, cells - i, splat(A(1)));
    }
  }

  // For a window that is not simply a rectangle of pixels: each cell on its own.
  HHD_INLINE void place_cells() {
    clear(cover(), length);
    first = length;
    last = 0;
    const double left = center_ - 0.5 * static_cast<double>(cells - 1);
    const double right = static_cast<double>(length - 1);
    for (int64_t i = 0; i < cells; ++i) {
      const int64_t opposite = cells - 1 - i;
      if (nearest()) {
        int64_t p = start_ + i;
        const bool is_inside = p >= 0 && p < length;
        if (!is_inside) p = start_ + reflected(i, opposite, p);
        set(i, p >= 0 && p < length ? p : -1, 1, -1, 0, is_inside);
      } else {
        double p = left + static_cast<double>(i);
        const bool is_inside = p >= 0 && p <= right;
        if (!is_inside) p = left + static_cast<double>(opposite);
        set_bilinear(i, p, is_inside, right);
      }
    }
  }

  // Cell n reads weight(2n) * pixel(2n) + weight(2n + 1) * pixel(2n + 1); a pixel of -1 is a tap
  // that is not there.
  HHD_INLINE int64_t pixel(int64_t tap) const { return pixel_.get()[tap]; }
  HHD_INLINE A weight(int64_t tap) const { return weight_.get()[tap]; }
  // Whether the cell's own position, before mirroring, is in the map.
  HHD_INLINE bool inside(int64_t cell) const { return inside_.get()[cell]; }
  // [padded length] how much of each pixel the cells inside the map take up
  HHD_INLINE A* cover() const { return cover_.get(); }

  const int64_t cells;
  const int64_t length;         // of the map
  int64_t first = 0, last = 0;  // pixels touched: [first, last)
  bool leaves = false;          // the map; always where pixels are interpolated

 private:
  HHD_INLINE bool nearest() const { return window_.sampling == Sampling::kNearest; }

  // The cell that an outside cell repeats; the published code leaves the first line past the
  // right or bottom border empty in odd windows.
  HHD_INLINE int64_t reflected(int64_t i, int64_t opposite, int64_t p) const {
    const bool empty =
        window_.border == Border::kMirrorPublished && (i + opposite) % 2 == 0 && p == length;
    return empty ? i : opposite;
  }

  HHD_INLINE void set_bilinear(int64_t i, double p, bool is_inside, double right) {
    if (!(p >= 0 && p <= right)) return set(i, -1, 0, -1, 0, is_inside);
    const int64_t low = static_cast<int64_t>(floor_of(p));
    const A f = static_cast<A>(p - static_cast<double>(low));
    const bool two = f > 0 && low + 1 < length;
    set(i, low, two ? 1 - f : 1, two ? low + 1 : -1, two ? f : 0, is_inside);
  }

  HHD_INLINE void set(int64_t i, int64_t p0, A w0, int64_t p1, A w1, bool is_inside) {
    pixel_.get()[2 * i] = p0;
    pixel_.get()[2 * i + 1] = p1;
    weight_.get()[2 * i] = p0 < 0 ? 0 : w0;
    weight_.get()[2 * i + 1] = p1 < 0 ? 0 : w1;
    inside_.get()[i] = is_inside;
    for (int64_t t = 2 * i; t < 2 * i + 2; ++t) {
      const int64_t p = pixel(t);
      if (p < 0) continue;
      if (is_inside) cover()[p] += weight(t);
      first = min_of(first, p);
      last = max_of(last, p + 1);
    }
  }

  const Window& window_;
  double center_ = 0;
  int64_t start_ = 0;
  Buffer<int64_t> pixel_;
  Buffer<A> weight_;
  Buffer<bool> inside_;
  Buffer<A> cover_;
};

// A window on a map: y and x axes, placed anew for every map.
template <class A>
class WindowFrame {
 public:
  WindowFrame(const Window& window, int64_t height, int64_t width)
      : y(window.height, height, window), x(window.width, width, window), window_(window) {}

  HHD_INLINE void place(A center_x, A center_y) {
    y.place(center_y);
    x.place(center_x);
    if (whole()) return;
    y.place_cells();
    x.place_cells();
  }

  HHD_INLINE bool nearest() const { return window_.sampling == Sampling::kNearest; }

  // Whether cell (n, m) is simply pixel (y.first + n, x.first + m), as for most joints.
  HHD_INLINE bool whole() const { return !y.leaves && !x.leaves; }

  // out[n * stride + m] = the window of `plane`, where what is below `least` counts as 0, times
  // `scale`; a cell that has no pixel is 0, even where the scale is NaN.
  HHD_INLINE void gather(const Plane<A>& plane, A least, A scale, A* out, int64_t stride) const {
    const Vec<A> bound = splat(least);
    const auto value = [&](const A* row, int64_t j) { return row[j] < least ? A(0) : row[j]; };
    if (whole()) {
      // Local copies: a store could change any member, as far as the compiler knows.
      const int64_t rows = y.cells, cells = x.cells, step = plane.stride;
      const A* row = plane.row(y.first) + x.first;
      for (int64_t n = 0; n < rows; ++n, row += step, out += stride) {
        for_vectors(row, cells, [&](int64_t m, Vec<A> v) {
          store_first(out + m, cells - m, (v < bound ? Vec<A>{} : v) * scale);
        });
      }
      return;
    }
    for (int64_t n = 0; n < y.cells; ++n, out += stride) {
      const int64_t i = y.pixel(2 * n);
      const A* row = plane.row(i < 0 ? 0 : i);
      for (int64_t m = 0; m < x.cells; ++m) {
        const int64_t j = x.pixel(2 * m);
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
      if (y.pixel(a) < 0) continue;
      for (int64_t b = 2 * m; b < 2 * m + 2; ++b) {
        if (x.pixel(b) >= 0) f(y.pixel(a), x.pixel(b), y.weight(a) * x.weight(b));
      }
    }
  }

  Axis<A> y, x;

 private:
  const Window& window_;
};

}  // namespace hhd::HHD_ISA
