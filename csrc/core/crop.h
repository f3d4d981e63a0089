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

// Only the windows' pixels are read, so the maps need not be made into planes first.
template <class A>
void crop(const View& maps, const View& centers, const View& out, const Window& window,
          int64_t begin, int64_t end) {
  WindowFrame<A> frame(window, maps.size[2], maps.size[3]);
  const int64_t joints = maps.size[1];
  for (int64_t index = begin; index < end; ++index) {
    const int64_t b = index / joints, k = index % joints;
    place_at(frame, centers, b, k);
    for (int64_t n = 0; n < window.height; ++n) {
      for (int64_t m = 0; m < window.width; ++m) {
        A sum = 0;
        frame.for_taps(n, m, [&](int64_t i, int64_t x, A w) {
          sum += w * read<A>(maps, offset_of(maps, b, k, i, x));
        });
        write(out, offset_of(out, b, k, n, m), sum);
      }
    }
  }
}

template <class A>
void crop_backward(const View& grad, const View& centers, const View& out, const Window& window,
                   int64_t begin, int64_t end) {
  WindowFrame<A> frame(window, out.size[2], out.size[3]);
  Writer<A> writer(out);
  const int64_t padded = round_up_to_lanes<A>(out.size[3]);
  Buffer<A> sums(out.size[2] * padded);
  for (int64_t index = begin; index < end; ++index) {
    const Unit unit = unit_at(out, index);
    for (int64_t j = 0; j < unit.count; ++j) {
      for (int64_t x = 0; x < out.size[2] * padded; ++x) sums.get()[x] = 0;
      place_at(frame, centers, unit.b, unit.k + j);
      for (int64_t n = 0; n < window.height; ++n) {
        for (int64_t m = 0; m < window.width; ++m) {
          const A g = read<A>(grad, offset_of(grad, unit.b, unit.k + j, n, m));
          frame.for_taps(n, m,
                         [&](int64_t i, int64_t x, A w) { sums.get()[i * padded + x] += w * g; });
        }
      }
      const MapWriter<A> map = writer.map(unit, j);
      for (int64_t i = 0; i < out.size[2]; ++i) {
        const A* row = sums.get() + i * padded;
        map.write_row(i, padded, [&](int64_t x) { return load(row + x); });
      }
    }
    writer.finish_unit(unit);
  }
}

}  // namespace hhd::HHD_ISA
