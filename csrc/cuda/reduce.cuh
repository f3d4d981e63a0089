// A team is the threads that work on one map: a block, or a warp of it. Sums are trees in a fixed
// order: the same bits in every run.
#pragma once

#include "elements.cuh"

namespace hhd::cuda {

// Two such blocks an SM leave a thread 96 registers, enough for every kernel in float32 not to
// spill.
inline constexpr int kMaxThreads = 320;
inline constexpr int kMinBlocks = 2;
inline constexpr int kMaxWarps = kMaxThreads / kWarp;
// What one reduction exchanges between a block's warps: this many numbers a warp. It is the first
// thing in shared memory.
inline constexpr int kMaxSums = 4;
inline constexpr int kScratchBytes = 2 * kMaxWarps * kMaxSums * 8;

// Every lane gets the sums over the warp.
template <class A, int N>
HHD_DEVICE void sum_in_warp(A (&v)[N]) {
#pragma unroll
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
    for (int i = 0; i < N; ++i) v[i] += shuffle_xor(kFullWarp, v[i], lanes);
  }
}

// The largest value and the lowest index that holds it.
template <class A>
struct Peak {
  A value;
  int64_t index;

  HHD_DEVICE void take(A other, int64_t at) {
    if (other > value || (other == value && at < index)) {
      value = other;
      index = at;
    }
  }
};

inline constexpr int64_t kNowhere = INT64_MAX;

template <class A>
class Team {
 public:
  HHD_DEVICE Team(int thread, int threads) : thread(thread), threads(threads) {}

  HHD_DEVICE int lane() const { return thread % kWarp; }
  HHD_DEVICE int warp() const { return thread / kWarp; }
  HHD_DEVICE int warps() const { return threads / kWarp; }

  HHD_DEVICE void sync() const {
    if (warps() > 1) {
      barrier();
    } else {
      warp_barrier();
    }
  }

  // Every thread gets the sums over the team. Here, as below, all have passed what came before when
  // one goes on.
  template <int N>
  HHD_DEVICE void sum(A (&v)[N]) {
    static_assert(N <= kMaxSums, "kScratchBytes");
    sum_in_warp(v);
    if (warps() == 1) return warp_barrier();
    A* parts = scratch<A>();
    if (lane() == 0) {
      for (int i = 0; i < N; ++i) parts[warp() * N + i] = v[i];
    }
    barrier();
    for (int i = 0; i < N; ++i) v[i] = 0;
#pragma unroll 1
    for (int w = 0; w < warps(); ++w) {
      for (int i = 0; i < N; ++i) v[i] += parts[w * N + i];
    }
  }

  // A NaN is passed over.
  HHD_DEVICE A max(A v) {
#pragma unroll
    for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
      v = larger_number(v, shuffle_xor(kFullWarp, v, lanes));
    }
    if (warps() == 1) {
      warp_barrier();
      return v;
    }
    A* parts = scratch<A>();
    if (lane() == 0) parts[warp()] = v;
    barrier();
#pragma unroll 1
    for (int w = 0; w < warps(); ++w) v = larger_number(v, parts[w]);
    return v;
  }

  template <class V>
  HHD_DEVICE Peak<V> peak(Peak<V> best) {
#pragma unroll
    for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
      const V value = shuffle_xor(kFullWarp, best.value, lanes);
      best.take(value, shuffle_xor(kFullWarp, best.index, lanes));
    }
    if (warps() == 1) {
      warp_barrier();
      return best;
    }
    Peak<V>* parts = scratch<Peak<V>>();
    if (lane() == 0) parts[warp()] = best;
    barrier();
#pragma unroll 1
    for (int w = 0; w < warps(); ++w) best.take(parts[w].value, parts[w].index);
    return best;
  }

  const int thread, threads;

 private:
  // Two halves in turn: a warp may begin the next exchange while others still read from this one,
  // yet none can be two ahead, since each exchange has a barrier.
  template <class Part>
  HHD_DEVICE Part* scratch() {
    half_ ^= kScratchBytes / 2;
    return reinterpret_cast<Part*>(shared_memory<char>() + half_);
  }

  int half_ = 0;
};

}  // namespace hhd::cuda
