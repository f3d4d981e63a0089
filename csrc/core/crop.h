// Crops of a window around a centre, and the adjoint.
#pragma once

#include "window.h"

namespace hhd::HHD_ISA {

template <class A>
HHD_INLINE void place_at(WindowFrame<A>& frame, const View& centers, int64_t b, int64_t k) {
  const int64_t offset = offset_of(centers, b, k);
  frame.place(read<A>(centers, offset), read<A>(centers, offset + centers.stride[2]));
}

template <class A>
HHD_INLINE void write_window(const View& out, int64_t b, int64_t k, const A* cells) {
  // Windows are made here, contiguous.
  write_run(out, offset_of(out, b, k), out.size[2] * out.size[3], cells);
}

// Of the maps only what their windows touch is read.
template <class A>
void crop(const View& maps, const View& centers, const View& out, const Window& window,
          int64_t begin, int64_t end) {
  const int64_t joints = maps.size[1], height = maps.size[2], width = maps.size[3];
  const int64_t step = maps.stride[3];
  const bool in_place = maps.dtype == dtype_of<A>() && step == 1;
  WindowFrame<A> frame(window, height, width);
  Buffer<A> cells(window.height * window.width), pixels(in_place ? 0 : height * width);
  for (int64_t index = begin; index < end; ++index) {
    const int64_t b = index / joints, k = index % joints;
    place_at(frame, centers, b, k);
    Plane<A> map{pixels.get(), width, height, width};
    if (in_place) {
      map.data = static_cast<A*>(mutable_address(maps, offset_of(maps, b, k)));
      map.stride = maps.stride[2];
    } else {
      const int64_t left = frame.x.first, touched = frame.x.last - left;
      for (int64_t i = frame.y.first; i < frame.y.last; ++i) {
        const int64_t offset = offset_of(maps, b, k, i, left);
        if (step == 1) {
          read_run(maps, offset, touched, map.row(i) + left);
        } else {
          read_strided(maps, offset, step, touched, map.row(i) + left);
        }
      }
    }
    frame.gather(map, static_cast<A>(-__builtin_inf()), A(1), cells.get(), window.width);
    write_window(out, b, k, cells.get());
  }
}

// Adds a window's gradient to its pixels.
template <class A>
HHD_INLINE void scatter(const WindowFrame<A>& frame, const View& grad, int64_t offset,
                        const Plane<A>& map, A* row) {
  const int64_t columns = grad.size[3];
  for (int64_t n = 0; n < grad.size[2]; ++n) {
    read_strided(grad, offset + n * grad.stride[2], grad.stride[3], columns, row);
    if (frame.whole()) {
      A* to = map.row(frame.y.first + n) + frame.x.first;
      for_vectors(row, columns, [&](int64_t m, Vec<A> v) { store_first(to + m, columns - m, v); });
      continue;
    }
    for (int64_t m = 0; m < columns; ++m) {
      frame.for_taps(n, m, [&](int64_t i, int64_t x, A w) { map.row(i)[x] += w * row[m]; });
    }
  }
}

template <class A>
void crop_backward(const View& grad, const View& centers, const View& out, const Window& window,
                   int64_t begin, int64_t end) {
  const int64_t height = out.size[2], width = out.size[3], pixels = height * width;
  const bool in_place = out.dtype == dtype_of<A>() && is_one_run(out);
  WindowFrame<A> frame(window, height, width);
  Writer<A> writer(out);
  Buffer<A> row(window.width), sums(in_place ? 0 : pixels);
  for (int64_t index = begin; index < end; ++index) {
    const Unit unit = unit_at(out, index);
    for (int64_t j = 0; j < unit.count; ++j) {
      Plane<A> map{sums.get(), width, height, width};
      if (in_place) {
        map.data = static_cast<A*>(mutable_address(out, offset_of(out, unit.b, unit.k + j)));
      }
      for_row<A>(pixels, [&](int64_t x, auto n) { store_part(map.data + x, n, Vec<A>{}); });
      place_at(frame, centers, unit.b, unit.k + j);
      scatter(frame, grad, offset_of(grad, unit.b, unit.k + j), map, row.get());
      if (in_place) continue;
      const MapWriter<A> to = writer.map(unit, j);
      for (int64_t i = 0; i < height; ++i) {
        to.write_row(i, width, [from = map.row(i)](int64_t x, auto n) {
          return load_part(from + x, n, A(0));
        });
      }
    }
    writer.finish_unit(unit);
  }
}

}  // namespace hhd::HHD_ISA
