// Where a window's cells lie, by arithmetic instead of tables: mirror expansion, interpolation, and
// how much of each pixel the window covers. Windows are separable, so everything is said per axis.
#pragma once

#include "elements.cuh"

namespace hhd::cuda {

// One axis of a window. Cell i lies at pixel low + i and a fraction, the same for all cells:
// "nearest" is the case without one. A cell whose position is outside the map repeats its mirror in
// the window, cell cells - 1 - i, if that is inside. kWhole: known to have no fraction.
template <class A, bool kWhole = false>
struct Axis {
  int low;
  int cells;
  int length;      // of the map
  int begin, end;  // cells whose position is inside the map
  int gap;         // the cell that stays empty instead of mirroring, or -1
  A fraction;

  HHD_DEVICE bool inside(int cell) const { return cell >= begin && cell < end; }

  // The cell whose pixels this cell reads; -1: it reads none.
  HHD_DEVICE int origin(int cell) const {
    if (inside(cell)) return cell;
    const int mirror = cells - 1 - cell;
    return cell != gap && inside(mirror) ? mirror : -1;
  }

  // A cell reads one pixel, or two: `tap` 0 and 1 from the origin's position.
  HHD_DEVICE int taps() const { return !kWhole && fraction > 0 ? 2 : 1; }
  HHD_DEVICE A weight(int tap) const {
    if (kWhole) return 1;
    return tap == 0 ? 1 - fraction : fraction;
  }

  // Pixels that are read: [first, last).
  HHD_DEVICE int first() const { return begin < end ? low + begin : 0; }
  HHD_DEVICE int last() const { return begin < end ? low + end - 1 + taps() : 0; }

  HHD_DEVICE bool touches(int pixel, int pixels) const {
    return pixel < last() && pixel + pixels > first();
  }

  // How much of a pixel the cells inside the map take up.
  HHD_DEVICE A cover(int pixel) const {
    const A here = inside(pixel - low) ? weight(0) : A(0);
    return taps() == 2 && inside(pixel - low - 1) ? here + fraction : here;
  }

  // Calls f(cell, weight) for the cells that read a pixel.
  template <class F>
  HHD_DEVICE void each_reader(int pixel, const F& f) const {
#pragma unroll(kWhole ? 2 : 1)
    for (int n = 0; n < 2 * taps(); ++n) {
      const int own = pixel - low - n / 2;
      const int cell = n % 2 == 0 ? own : cells - 1 - own;
      const bool reads = inside(own) && (n % 2 == 0 || (!inside(cell) && origin(cell) >= 0));
      if (reads) f(cell, weight(n / 2));
    }
  }
};

template <bool kWhole, class A>
HHD_DEVICE Axis<A, kWhole> place_axis(A center, int64_t cells, int64_t length, Sampling sampling,
                                      Border border) {
  Axis<A, kWhole> axis;
  axis.cells = static_cast<int>(cells);
  axis.length = static_cast<int>(length);
  // Beyond this the whole window and its mirror are outside; it also catches NaN.
  const A far = static_cast<A>(axis.cells + axis.length + 1);
  if (!(center > -far)) center = -far;
  if (center > far) center = far;
  // Pixel and fraction are kept apart, where a float would have too few digits for both.
  const A whole = floor(center);
  A fraction = center - whole;
  axis.low = static_cast<int>(whole) - axis.cells / 2;
  if (kWhole || sampling == Sampling::kNearest) {
    axis.low += fraction >= A(0.5);
    fraction = 0;
  } else if (axis.cells % 2 == 0) {
    // Half a pixel further: an even window is symmetric about its centre too.
    axis.low += fraction >= A(0.5);
    fraction += fraction >= A(0.5) ? A(-0.5) : A(0.5);
  }
  axis.fraction = fraction;
  const int last_pixel = axis.length - (fraction > 0 ? 2 : 1);
  axis.begin = min_of(max_of(-axis.low, 0), axis.cells);
  axis.end = max_of(min_of(last_pixel - axis.low + 1, axis.cells), axis.begin);
  // The published code leaves the first line past the right or bottom border empty in odd windows.
  const bool gap =
      border == Border::kMirrorPublished && sampling == Sampling::kNearest && axis.cells % 2 == 1;
  axis.gap = gap ? axis.length - axis.low : -1;
  return axis;
}

// A window on a map.
template <class A, bool kWhole = false>
struct Frame {
  Axis<A, kWhole> y, x;

  HHD_DEVICE int taps() const { return y.taps() * x.taps(); }

  HHD_DEVICE bool touches(int row, int column, int columns) const {
    return row >= y.first() && row < y.last() && column < x.last() && column + columns > x.first();
  }

  // Calls f(row, column, weight) for the pixels that cell (n, m) reads.
  template <class F>
  HHD_DEVICE void each_tap(int n, int m, const F& f) const {
    const int from_y = y.origin(n), from_x = x.origin(m);
    if (from_y < 0 || from_x < 0) return;
#pragma unroll 1
    for (int t = 0; t < taps(); ++t) {
      const int a = x.taps() == 2 ? t / 2 : t, b = x.taps() == 2 ? t % 2 : 0;
      f(y.low + from_y + a, x.low + from_x + b, y.weight(a) * x.weight(b));
    }
  }

  // Calls f(n, m, weight) for the cells that read a pixel.
  template <class F>
  HHD_DEVICE void each_reader(int row, int column, const F& f) const {
    y.each_reader(row,
                  [&](int n, A v) { x.each_reader(column, [&](int m, A h) { f(n, m, v * h); }); });
  }
};

template <bool kWhole = false, class A>
HHD_DEVICE Frame<A, kWhole> place(const Window& window, A center_x, A center_y, int height,
                                  int width) {
  return {place_axis<kWhole>(center_y, window.height, height, window.sampling, window.border),
          place_axis<kWhole>(center_x, window.width, width, window.sampling, window.border)};
}

}  // namespace hhd::cuda
