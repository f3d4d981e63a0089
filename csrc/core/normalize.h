// Normalisation of whole maps and its gradient.
#pragma once

#include "softmax.h"

namespace hhd::HHD_ISA {

template <class A, class Row>
HHD_INLINE void write_rows(const Plane<A>& map, const Writer<A>& writer, const Unit& unit,
                           int64_t j, const Row& row_at) {
  const MapWriter<A> out = writer.map(unit, j);
  for (int64_t i = 0; i < map.height; ++i) out.write_row(i, map.width, row_at(i));
}

template <class A>
void normalize(const View& x, const View& out, Normalize kind, double beta, double eps,
               int64_t begin, int64_t end) {
  Reader<A> reader(x);
  Writer<A> writer(out, reader.planes_of_unit());
  SoftmaxBuffers<A> softmax(x.size[2], x.size[3]);
  for (int64_t index = begin; index < end; ++index) {
    const Unit unit = unit_at(x, index);
    for (int64_t j = 0; j < unit.count; ++j) {
      const Plane<A> map = reader.plane_to_scan(unit, j);
      const MapSums<A> sums = scan<Scan::kStudent>(map, kind);
      Plane<A> source = map;
      A norm = kind == Normalize::kNone ? A(1) : norm_of(sums, kind);
      if (norm < eps && kind != Normalize::kNone) norm = static_cast<A>(eps);
      if (kind == Normalize::kSoftmax) {
        const Softmax<A> p = softmax.compute(map, sums.max, beta);
        source = p.e;
        norm = p.sum;
      }
      const Vec<A> divisor = splat(norm);
      const bool clipped = kind == Normalize::kL1Positive;
      write_rows(map, writer, unit, j, [&](int64_t i) {
        return [&, row = source.row(i)](int64_t c, auto n) {
          const Vec<A> v = load_part(row + c, n, A(0));
          return (clipped ? positive_part<A>(v) : v) / divisor;
        };
      });
    }
    writer.finish_unit(unit);
  }
}

// The sum of a b; of a's positive part where `clipped`.
template <class A>
HHD_INLINE A dot(const Plane<A>& a, const Plane<A>& b, bool clipped) {
  Vec<A> sum{};
  for (int64_t i = 0; i < a.height; ++i) {
    const A* left = a.row(i);
    const A* right = b.row(i);
    for_row<A>(a.width, [&](int64_t x, auto n) {
      const Vec<A> v = load_part(left + x, n, A(0));
      sum += (clipped ? positive_part<A>(v) : v) * load_part(right + x, n, A(0));
    });
  }
  return sum_lanes<A>(sum);
}

template <class A>
void normalize_backward(const View& grad, const View& x, const View& out, Normalize kind,
                        double beta, double eps, int64_t begin, int64_t end) {
  Reader<A> reader(x);
  Reader<A> grads(grad);
  Writer<A> writer(out, reader.planes_of_unit());
  SoftmaxBuffers<A> softmax(x.size[2], x.size[3]);
  const Vec<A> zero{}, one = splat(A(1));
  for (int64_t index = begin; index < end; ++index) {
    const Unit unit = unit_at(x, index);
    for (int64_t j = 0; j < unit.count; ++j) {
      const Plane<A> map = reader.plane_to_scan(unit, j);
      const Plane<A> upstream = grads.plane(unit, j);
      const MapSums<A> sums = scan<Scan::kStudent>(map, kind);
      if (kind == Normalize::kSoftmax) {
        const Softmax<A> p = softmax.compute(map, sums.max, beta);
        const Vec<A> mean = splat(dot(p.e, upstream, false) / p.sum);
        const Vec<A> rate = splat(static_cast<A>(beta) / p.sum);
        write_rows(map, writer, unit, j, [&](int64_t i) {
          return [&, e = p.e.row(i), g = upstream.row(i)](int64_t c, auto n) {
            return load(e + c) * rate * (load_part(g + c, n, A(0)) - mean);
          };
        });
        continue;
      }
      const A norm = norm_of(sums, kind);
      // Where eps stands in for the norm, or there is none, nothing comes through it.
      const bool floored = kind == Normalize::kNone || norm < eps;
      const A divisor = kind == Normalize::kNone ? A(1) : (floored ? static_cast<A>(eps) : norm);
      const bool clipped = kind == Normalize::kL1Positive;
      // Divided one by one: the norm's square may not be a number that A holds.
      const Vec<A> along = splat(floored ? A(0) : dot(map, upstream, clipped) / divisor);
      const Vec<A> by = splat(divisor);
      write_rows(map, writer, unit, j, [&](int64_t i) {
        return [&, s = map.row(i), g = upstream.row(i)](int64_t c, auto n) {
          const Vec<A> v = load_part(s + c, n, A(0)), direct = load_part(g + c, n, A(0));
          if (clipped) return v > 0 ? (direct - along) / by : zero;
          if (floored) return direct / by;
          if (kind == Normalize::kL2) return (direct - along * (v / by)) / by;
          return (direct - along * (v > 0 ? one : (v < 0 ? -one : v))) / by;
        };
      });
    }
    writer.finish_unit(unit);
  }
}

}  // namespace hhd::HHD_ISA
