// Normalisation of whole maps and its gradient.
#pragma once

#include "softmax.h"

namespace hhd::HHD_ISA {

template <class A, class Row>
HHD_INLINE void write_rows(const Plane<A>& map, Writer<A>& writer, const Unit& unit, int64_t j,
                           const Row& row_at) {
  for (int64_t i = 0; i < map.height; ++i) {
    A* out = writer.row(unit, j, i);
    for (int64_t x = 0; x < map.padded; x += kLanes<A>) store(out + x, row_at(i, x));
    writer.finish_row(unit, j, i);
  }
}

template <class A>
void normalize(const View& x, const View& out, Normalize kind, double beta, double eps,
               int64_t begin, int64_t end) {
  Reader<A> reader(x, static_cast<A>(-__builtin_inf()));
  Writer<A> writer(out);
  SoftmaxBuffers<A> softmax(x.size[2], x.size[3]);
  for (int64_t index = begin; index < end; ++index) {
    const Unit unit = unit_at(x, index);
    for (int64_t j = 0; j < unit.count; ++j) {
      const Plane<A> map = reader.plane(unit, j);
      const MapSums<A> sums = scan(map, kind);
      if (kind == Normalize::kSoftmax) {
        const Softmax<A> p = softmax.compute(map, sums.max, beta);
        const Vec<A> sum = splat(p.sum);
        write_rows(map, writer, unit, j,
                   [&](int64_t i, int64_t c) { return load(p.e.row(i) + c) / sum; });
        continue;
      }
      const A norm = norm_of(sums, kind);
      const Vec<A> divisor =
          splat(kind == Normalize::kNone ? A(1) : (norm < eps ? static_cast<A>(eps) : norm));
      const bool positive = kind == Normalize::kL1Positive;
      write_rows(map, writer, unit, j, [&](int64_t i, int64_t c) {
        const Vec<A> v = load(map.row(i) + c);
        return (positive ? (v < 0 ? Vec<A>{} : v) : v) / divisor;
      });
    }
    writer.finish_unit(unit);
  }
}

// sum of grad times value(i, x), padding left out.
template <class A, class Value>
HHD_INLINE A dot_with(const Plane<A>& grad, const Value& value) {
  Vec<A> sum{};
  for (int64_t i = 0; i < grad.height; ++i) {
    int64_t x = 0;
    for (; x + kLanes<A> <= grad.width; x += kLanes<A>) sum += load(grad.row(i) + x) * value(i, x);
    if (x < grad.width) {
      sum += keep_lanes<A>(load(grad.row(i) + x) * value(i, x), grad.width - x);
    }
  }
  return sum_lanes<A>(sum);
}

template <class A>
void normalize_backward(const View& grad, const View& x, const View& out, Normalize kind,
                        double beta, double eps, int64_t begin, int64_t end) {
  Reader<A> reader(x, static_cast<A>(-__builtin_inf()));
  Reader<A> grads(grad, A(0));
  Writer<A> writer(out);
  SoftmaxBuffers<A> softmax(x.size[2], x.size[3]);
  for (int64_t index = begin; index < end; ++index) {
    const Unit unit = unit_at(x, index);
    for (int64_t j = 0; j < unit.count; ++j) {
      const Plane<A> map = reader.plane(unit, j);
      const Plane<A> g = grads.plane(unit, j);
      const MapSums<A> sums = scan(map, kind);
      const auto value = [&](int64_t i, int64_t c) { return load(map.row(i) + c); };
      const auto slope = [&](int64_t i, int64_t c) { return load(g.row(i) + c); };
      if (kind == Normalize::kSoftmax) {
        const Softmax<A> p = softmax.compute(map, sums.max, beta);
        const auto e = [&](int64_t i, int64_t c) { return load(p.e.row(i) + c); };
        const Vec<A> mean = splat(dot_with(g, e) / p.sum);
        const Vec<A> rate = splat(static_cast<A>(beta) / p.sum);
        write_rows(map, writer, unit, j,
                   [&](int64_t i, int64_t c) { return e(i, c) * rate * (slope(i, c) - mean); });
        continue;
      }
      const A norm = norm_of(sums, kind);
      const bool floored = kind == Normalize::kNone || norm < eps;
      const A divisor = kind == Normalize::kNone ? A(1) : (floored ? static_cast<A>(eps) : norm);
      const Vec<A> inverse = splat(1 / divisor);
      const auto positive = [&](int64_t i, int64_t c) {
        const Vec<A> v = value(i, c);
        return v < 0 ? Vec<A>{} : v;
      };
      const bool clipped = kind == Normalize::kL1Positive;
      // Through the norm: zero where eps stands in for it.
      const A along =
          floored ? A(0)
                  : (clipped ? dot_with(g, positive) : dot_with(g, value)) / (divisor * divisor);
      const Vec<A> pull = splat(kind == Normalize::kL2 ? along / divisor : along);
      const Vec<A> one = splat(A(1));
      write_rows(map, writer, unit, j, [&](int64_t i, int64_t c) {
        const Vec<A> v = value(i, c), direct = slope(i, c) * inverse;
        if (clipped) return v > 0 ? direct - pull : Vec<A>{};
        if (floored) return direct;
        if (kind == Normalize::kL2) return direct - pull * v;
        return direct - pull * (v > 0 ? one : (v < 0 ? -one : v));
      });
    }
    writer.finish_unit(unit);
  }
}

}  // namespace hhd::HHD_ISA
