// A map in the registers of its threads, 32 values each, for passes that need no other memory.
#pragma once

#include "softmax.cuh"

namespace hhd::cuda {

// Of 72 registers a thread a multiprocessor has room for nine blocks of 96 threads.
inline constexpr int kHeldThreads = 224, kHeldBlocks = 4;

// Whether the maps can be held: whole vectors, one map a block, and a row for each thread's.
inline bool is_held(const Plan& plan) {
  return plan.staged && plan.wide_in && !plan.grouped && plan.threads <= kHeldThreads;
}

template <class T>
class Held {
 public:
  using A = Accumulator<T>;
  static constexpr int kVectors = held_vectors(kLanes<T>);

  HHD_DEVICE explicit Held(const Strips& strips)
      : x(strips.x()), y(strips.y()), rows(strips.rows()), height_(strips.height()) {}

  // Asks for this thread's vectors; all of them are under way at once.
  HHD_DEVICE void ask(const Source<T, true>& map) {
    A lowest[kLanes<T>];
    for (A& v : lowest) v = -kInfinity<A>;
    const Vector16* from = map.in_memory(y, x);
    const int64_t step = map.vectors_down(rows);
#pragma unroll
    for (int i = 0; i < kVectors; ++i, from += step) {
      packed_[i] = has(i) ? load(from) : pack<T>(lowest);
    }
  }

  // Awaits them, puts them where they are staged too, and returns their maximum and the first
  // vector that holds it; NaN is passed over.
  HHD_DEVICE Peak<A> settle(const Source<T, true>& map) {
    A top = -kInfinity<A>;
    int row = -1;
    Vector16* to = map.on_chip(y, x);
    const int step = rows * map.padded / kLanes<T>;
#pragma unroll
    for (int i = 0; i < kVectors; ++i, to += step) {
      if (has(i)) store_shared(to, packed_[i]);
      unpack<T>(packed_[i], values_[i]);
      A highest = values_[i][0];
      for (int l = 1; l < kLanes<T>; ++l) highest = larger_number(highest, values_[i][l]);
      if (highest > top) row = y + i * rows;
      top = larger_number(top, highest);
    }
    return {top, row < 0 ? kNowhere : static_cast<int64_t>(row) * map.padded + x};
  }

  // The sum of f(value).
  template <class F>
  HHD_DEVICE A sum(Team<A>& team, const F& f) const {
    A sums[1] = {0};
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      if (!has(i)) continue;
      for (const A v : values_[i]) sums[0] += f(v);
    }
    team.sum(sums);
    return sums[0];
  }

  // The softmax's sums; from then on each value is its exponential.
  template <class Frame>
  HHD_DEVICE Mass<A> measure(Team<A>& team, const Exponential<A>& exponential, const Frame& frame) {
    A sum = 0, right = 0, down = 0, rest = 0;
    A open[kLanes<T>];  // beside the window's columns
    for (int l = 0; l < kLanes<T>; ++l) open[l] = 1 - frame.x.cover(x + l);
    const RowRange covered = rows_covered(frame);
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      A(&e)[kLanes<T>] = values_[i];
      for (A& v : e) v = exponential(v);
      A mass = e[0];
      for (int l = 1; l < kLanes<T>; ++l) {
        mass += e[l];
        right += e[l] * static_cast<A>(l);
      }
      sum += mass;
      if (i > 0) down += mass * static_cast<A>(i);
      if (covered.holds(y + i * rows)) {
        mass = e[0] * open[0];
        for (int l = 1; l < kLanes<T>; ++l) mass += e[l] * open[l];
      }
      rest += mass;
    }
    A sums[4] = {sum, right + sum * static_cast<A>(x),
                 down * static_cast<A>(rows) + sum * static_cast<A>(y), rest};
    team.sum(sums);
    return {sums[0], sums[1] / sums[0], sums[2] / sums[0], sums[3]};
  }

  // Writes the exponentials times (at + right x + down y) where a frame touches no vector.
  template <class Frame>
  HHD_DEVICE void write(const Sink<T, true>& sink, const Frame& frame, A at, A right,
                        A down) const {
    const RowRange covered = rows_covered(frame);
    Vector16* to = sink.in_memory(y, x);
    const int64_t step = sink.vectors_down(rows);
    at += right * static_cast<A>(x) + down * static_cast<A>(y);
    down *= static_cast<A>(rows);
#pragma unroll
    for (int i = 0; i < kVectors; ++i, to += anew(step)) {
      if (!has(i) || covered.holds(y + i * rows)) continue;
      const A here = at + down * static_cast<A>(i);
      A v[kLanes<T>] = {values_[i][0] * here};
      for (int l = 1; l < kLanes<T>; ++l) {
        v[l] = values_[i][l] * (here + right * static_cast<A>(l));
      }
      store(to, pack<T>(v));
    }
  }

  const int x, y, rows;  // of the first vector, and to the next

 private:
  struct RowRange {
    int first;
    unsigned rows;

    HHD_DEVICE bool holds(int row) const { return static_cast<unsigned>(row - first) < rows; }
  };

  HHD_DEVICE bool has(int i) const { return y + i * rows < height_; }

  // The rows where a frame touches this thread's vectors.
  template <class Frame>
  HHD_DEVICE RowRange rows_covered(const Frame& frame) const {
    const int first = frame.y.first();
    const bool touches = frame.x.touches(x, kLanes<T>);
    return {first, touches ? static_cast<unsigned>(frame.y.last() - first) : 0u};
  }

  const int height_;
  Vector16 packed_[kVectors];
  A values_[kVectors][kLanes<T>];
};

}  // namespace hhd::cuda
