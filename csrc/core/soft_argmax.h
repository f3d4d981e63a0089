// Soft-argmax over the map or over a window around its peak, and its gradient.
#pragma once

#include "softmax.h"

namespace hhd::HHD_ISA {

// The pixels an expectation runs over.
struct Box {
  int64_t top, bottom, left, right;
};

template <class A>
HHD_INLINE Box box_around_peak(const Plane<A>& map, A max, int64_t window) {
  const Pixel peak = find_peak(map, max);
  return {max_of<int64_t>(peak.y - window / 2, 0), min_of(peak.y + window / 2 + 1, map.height),
          max_of<int64_t>(peak.x - window / 2, 0), min_of(peak.x + window / 2 + 1, map.width)};
}

template <class A>
struct Expectation {
  A x, y;
  A sum;  // of e
};

template <class A>
HHD_INLINE Expectation<A> expectation_in(const Softmax<A>& p, const Box& box) {
  A sum = 0, x = 0, y = 0;
  for (int64_t i = box.top; i < box.bottom; ++i) {
    A row = 0;
    for (int64_t j = box.left; j < box.right; ++j) {
      const A e = p.e.row(i)[j];
      row += e;
      x += e * static_cast<A>(j);
    }
    sum += row;
    y += row * static_cast<A>(i);
  }
  return {x / sum, y / sum, sum};
}

template <class A>
void soft_argmax(const View& logits, const View& coords, const View& confidence,
                 const SoftArgmaxArgs& args, int64_t begin, int64_t end) {
  Reader<A> reader(logits);
  SoftmaxBuffers<A> softmax(logits.size[2], logits.size[3]);
  for (int64_t index = begin; index < end; ++index) {
    const Unit unit = unit_at(logits, index);
    for (int64_t j = 0; j < unit.count; ++j) {
      const Plane<A> map = reader.plane_to_scan(unit, j);
      const MapSums<A> sums = scan<Scan::kStudent>(map, Normalize::kNone);
      const Softmax<A> p = softmax.compute(map, sums.max, args.beta);
      Expectation<A> mean{p.x, p.y, p.sum};
      if (args.window > 0 && !is_nan(p.sum)) {
        mean = expectation_in(p, box_around_peak(map, sums.max, args.window));
      }
      const int64_t at = offset_of(coords, unit.b, unit.k + j);
      write(coords, at, mean.x);
      write(coords, at + coords.stride[2], mean.y);
      write(confidence, offset_of(confidence, unit.b, unit.k + j), mass_around(p, mean.x, mean.y));
    }
  }
}

// e (gx (x - mean x) + gy (y - mean y)) in the box, 0 outside.
template <class A>
HHD_INLINE void write_box_gradient(const Softmax<A>& p, const A* columns, const Box& box,
                                   const Expectation<A>& mean, A gx, A gy, const Unit& unit,
                                   int64_t j, const Writer<A>& writer) {
  const Vec<A> slope_x = splat(gx), zero{};
  const Vec<A> left = splat(static_cast<A>(box.left)), right = splat(static_cast<A>(box.right));
  const MapWriter<A> map = writer.map(unit, j);
  const Plane<A> plane = p.e;
  with_row_length<A>(plane.width, [&](auto width) {
    for (int64_t i = 0; i < plane.height; ++i) {
      const A* e = plane.row(i);
      const Vec<A> base = splat(gy * (static_cast<A>(i) - mean.y) - gx * mean.x);
      const bool in_box = i >= box.top && i < box.bottom;
      map.write_row(i, width, [&](int64_t x, auto) {
        const Vec<A> column = load(columns + x);
        const Vec<A> v = load(e + x) * (base + slope_x * column);
        const Vec<A> boxed = column < left ? zero : (column < right ? v : zero);
        return in_box ? boxed : zero;
      });
    }
  });
}

template <class A>
void soft_argmax_backward(const View& grad_coords, const View& logits, const View& out,
                          const SoftArgmaxArgs& args, int64_t begin, int64_t end) {
  Reader<A> reader(logits);
  Writer<A> writer(out, reader.planes_of_unit());
  SoftmaxBuffers<A> softmax(logits.size[2], logits.size[3]);
  for (int64_t index = begin; index < end; ++index) {
    const Unit unit = unit_at(logits, index);
    for (int64_t j = 0; j < unit.count; ++j) {
      const Plane<A> map = reader.plane_to_scan(unit, j);
      const MapSums<A> sums = scan<Scan::kStudent>(map, Normalize::kNone);
      const Softmax<A> p = softmax.compute(map, sums.max, args.beta);
      Box box{0, map.height, 0, map.width};
      Expectation<A> mean{p.x, p.y, p.sum};
      if (args.window > 0 && !is_nan(p.sum)) {
        box = box_around_peak(map, sums.max, args.window);
        mean = expectation_in(p, box);
      }
      const int64_t at = offset_of(grad_coords, unit.b, unit.k + j);
      const A rate = static_cast<A>(args.beta) / mean.sum;
      const A gx = read<A>(grad_coords, at) * rate;
      const A gy = read<A>(grad_coords, at + grad_coords.stride[2]) * rate;
      write_box_gradient(p, softmax.columns(), box, mean, gx, gy, unit, j, writer);
    }
    writer.finish_unit(unit);
  }
}

}  // namespace hhd::HHD_ISA
