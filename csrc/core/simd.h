// Fixed-width vectors on the compiler's vector extensions (GCC, Clang): the same source gives
// SSE2, NEON, AVX2 or AVX-512 code. Everything lives in a namespace of its instruction set and
// uses no inline function of the standard library, because the linker keeps only one copy of
// those and it could be one that this machine cannot run.
#pragma once

#if defined(__AVX__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>

#ifndef HHD_ISA
#error "compile the kernels with HHD_ISA set to the name of the instruction set"
#endif
#ifndef HHD_VECTOR_BYTES
#error "compile the kernels with HHD_VECTOR_BYTES set"
#endif

#define HHD_INLINE inline __attribute__((always_inline))

namespace hhd::HHD_ISA {

template <class A>
struct Simd;

template <>
struct Simd<float> {
  typedef float Vec __attribute__((vector_size(HHD_VECTOR_BYTES)));
  typedef int32_t Bits __attribute__((vector_size(HHD_VECTOR_BYTES)));
  typedef double Doubles __attribute__((vector_size(2 * HHD_VECTOR_BYTES)));
};

template <>
struct Simd<double> {
  typedef double Vec __attribute__((vector_size(HHD_VECTOR_BYTES)));
  typedef int64_t Bits __attribute__((vector_size(HHD_VECTOR_BYTES)));
  typedef double Doubles __attribute__((vector_size(HHD_VECTOR_BYTES)));
};

template <class A>
using Vec = typename Simd<A>::Vec;
template <class A>
using Bits = typename Simd<A>::Bits;
// As many doubles as Vec<A> has lanes.
template <class A>
using Doubles = typename Simd<A>::Doubles;

// Signed: it meets int64_t sizes everywhere.
template <class A>
inline constexpr int64_t kLanes = HHD_VECTOR_BYTES / static_cast<int64_t>(sizeof(A));

template <class T>
HHD_INLINE T min_of(T a, T b) {
  return b < a ? b : a;
}

template <class T>
HHD_INLINE T max_of(T a, T b) {
  return a < b ? b : a;
}

template <class A>
HHD_INLINE int64_t round_up_to_lanes(int64_t n) {
  return (n + kLanes<A> - 1) / kLanes<A> * kLanes<A>;
}

template <int64_t kValue>
struct Constant {
  HHD_INLINE constexpr operator int64_t() const { return kValue; }
};

// Calls f(length), the length of a map's rows. Those of most maps are constants there, so that
// loops over a row, of three or four vectors with AVX-512, unroll.
template <class A, class F>
HHD_INLINE void with_row_length(int64_t length, const F& f) {
  if constexpr (sizeof(A) == 4) {
    if (length == 48) return f(Constant<48>{});
    if (length == 64) return f(Constant<64>{});
  }
  f(length);
}

template <class A>
HHD_INLINE Vec<A> load(const A* p) {
  Vec<A> v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <class A>
HHD_INLINE void store(A* p, Vec<A> v) {
  std::memcpy(p, &v, sizeof v);
}

// Zeros in whole vectors: n is rounded up to them.
template <class A>
HHD_INLINE void clear(A* p, int64_t n) {
  for (int64_t i = 0; i < n; i += kLanes<A>) store(p + i, Vec<A>{});
}

// 0, 1, 2, ... in the lanes.
template <class A>
HHD_INLINE Vec<A> lane_numbers() {
  Vec<A> v;
  for (int64_t i = 0; i < kLanes<A>; ++i) v[i] = static_cast<A>(i);
  return v;
}

// n < kMost elements, in as few moves as n has bits.
template <int64_t kMost, class T>
HHD_INLINE void copy_few(T* to, const T* from, int64_t n) {
  if constexpr (kMost > 1) {
    constexpr int64_t half = kMost / 2;
    if (n >= half) {
      std::memcpy(to, from, half * sizeof(T));
      to += half, from += half, n -= half;
    }
    copy_few<half>(to, from, n);
  }
}

// The first n lanes, and 0 in the others: nothing behind the n is read.
template <class A>
HHD_INLINE Vec<A> load_first(const A* p, int64_t n) {
#if HHD_VECTOR_BYTES == 64
  const uint32_t lanes = n < kLanes<A> ? (1u << n) - 1 : ~0u;
  if constexpr (sizeof(A) == 4) return _mm512_maskz_loadu_ps(static_cast<__mmask16>(lanes), p);
  if constexpr (sizeof(A) == 8) return _mm512_maskz_loadu_pd(static_cast<__mmask8>(lanes), p);
#elif HHD_VECTOR_BYTES == 32 && defined(__AVX2__)
  const __m256i eight = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i four = _mm256_setr_epi64x(0, 1, 2, 3);
  if constexpr (sizeof(A) == 4) {
    const int count = static_cast<int>(min_of(n, kLanes<A>));
    return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(count), eight));
  }
  if constexpr (sizeof(A) == 8) {
    return _mm256_maskload_pd(p, _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), four));
  }
#else
  if (n >= kLanes<A>) return load(p);
  A lane[kLanes<A>] = {};
  copy_few<kLanes<A>>(lane, p, n);
  return load(lane);
#endif
}

// Stores the first n lanes, no more.
template <class A>
HHD_INLINE void store_first(A* p, int64_t n, Vec<A> v) {
#if HHD_VECTOR_BYTES == 64
  const uint32_t lanes = n < kLanes<A> ? (1u << n) - 1 : ~0u;
  if constexpr (sizeof(A) == 4) _mm512_mask_storeu_ps(p, static_cast<__mmask16>(lanes), v);
  if constexpr (sizeof(A) == 8) _mm512_mask_storeu_pd(p, static_cast<__mmask8>(lanes), v);
#else
  if (n >= kLanes<A>) return store(p, v);
  A lane[kLanes<A>];
  store(lane, v);
  copy_few<kLanes<A>>(p, lane, n);
#endif
}

template <class A>
HHD_INLINE Vec<A> splat(A a) {
  // Not 0 + a, which a compiler has to add up, for it is not a where a is -0.
  return a - Vec<A>{};
}

// Calls f(x, n) for the vectors of a row of a map, whose first n lanes are the row's: all, and at
// its end perhaps fewer. That n is the type of the calls below, not a number alone, tells them
// apart when the code is compiled.
template <class A>
using AllLanes = Constant<kLanes<A>>;

template <class A, class Length, class F>
HHD_INLINE void for_row(Length width, const F& f) {
  int64_t x = 0;
  for (; x + kLanes<A> <= width; x += kLanes<A>) f(x, AllLanes<A>{});
  if (x < width) f(x, width - x);
}

// `fill` in the other lanes.
template <class A>
HHD_INLINE Vec<A> load_part(const A* p, AllLanes<A>, A) {
  return load(p);
}

template <class A>
HHD_INLINE Vec<A> load_part(const A* p, int64_t n, A fill) {
#if HHD_VECTOR_BYTES == 64
  const uint32_t lanes = (1u << n) - 1;
  if constexpr (sizeof(A) == 4) {
    return _mm512_mask_loadu_ps(splat(fill), static_cast<__mmask16>(lanes), p);
  }
  if constexpr (sizeof(A) == 8) {
    return _mm512_mask_loadu_pd(splat(fill), static_cast<__mmask8>(lanes), p);
  }
#endif
  return lane_numbers<A>() < splat(static_cast<A>(n)) ? load_first(p, n) : splat(fill);
}

// The same of a vector.
template <class A>
HHD_INLINE Vec<A> keep_part(Vec<A> v, AllLanes<A>, Vec<A>) {
  return v;
}

template <class A>
HHD_INLINE Vec<A> keep_part(Vec<A> v, int64_t n, Vec<A> fill) {
#if HHD_VECTOR_BYTES == 64
  const uint32_t lanes = (1u << n) - 1;
  if constexpr (sizeof(A) == 4) {
    return _mm512_mask_mov_ps(fill, static_cast<__mmask16>(lanes), v);
  }
  if constexpr (sizeof(A) == 8) {
    return _mm512_mask_mov_pd(fill, static_cast<__mmask8>(lanes), v);
  }
#endif
  return lane_numbers<A>() < splat(static_cast<A>(n)) ? v : fill;
}

template <class A>
HHD_INLINE void store_part(A* p, AllLanes<A>, Vec<A> v) {
  store(p, v);
}

template <class A>
HHD_INLINE void store_part(A* p, int64_t n, Vec<A> v) {
  store_first(p, n, v);
}

// Of two, the larger; where either is NaN, the second.
template <class A>
HHD_INLINE Vec<A> max_or_second(Vec<A> a, Vec<A> b) {
#if HHD_VECTOR_BYTES == 64
  // The compiler would make a comparison and a move of it where one of the two is 0.
  if constexpr (sizeof(A) == 4) return _mm512_max_ps(a, b);
  if constexpr (sizeof(A) == 8) return _mm512_max_pd(a, b);
#endif
  return a > b ? a : b;
}

// Lanes are folded in halves, in one fixed order.
template <class A>
HHD_INLINE A sum_lanes(Vec<A> v) {
#if HHD_VECTOR_BYTES == 64
  if constexpr (sizeof(A) == 4) return _mm512_reduce_add_ps(v);
  if constexpr (sizeof(A) == 8) return _mm512_reduce_add_pd(v);
#endif
  A lane[kLanes<A>];
  store(lane, v);
  for (int64_t n = kLanes<A> / 2; n > 0; n /= 2) {
    for (int64_t i = 0; i < n; ++i) lane[i] += lane[i + n];
  }
  return lane[0];
}

// Of Doubles<A>.
template <class A>
HHD_INLINE double sum_doubles(Doubles<A> v) {
  Vec<double> half[sizeof v / sizeof(Vec<double>)];
  std::memcpy(half, &v, sizeof v);
  if constexpr (sizeof v > sizeof half[0]) half[0] += half[1];
  return sum_lanes<double>(half[0]);
}

template <class A>
HHD_INLINE A max_lanes(Vec<A> v) {
#if HHD_VECTOR_BYTES == 64
  if constexpr (sizeof(A) == 4) return _mm512_reduce_max_ps(v);
  if constexpr (sizeof(A) == 8) return _mm512_reduce_max_pd(v);
#endif
  A lane[kLanes<A>];
  store(lane, v);
  A best = lane[0];
  for (int64_t i = 1; i < kLanes<A>; ++i) best = lane[i] > best ? lane[i] : best;
  return best;
}

// A lane counts as set where it is not 0.
template <class A>
HHD_INLINE bool any_lane(Bits<A> mask) {
#if HHD_VECTOR_BYTES == 64
  const __m512i m = reinterpret_cast<__m512i>(mask);
  return _mm512_test_epi64_mask(m, m) != 0;
#elif HHD_VECTOR_BYTES == 32 && defined(__AVX__)
  const __m256i m = reinterpret_cast<__m256i>(mask);
  return _mm256_testz_si256(m, m) == 0;
#else
  int64_t word[HHD_VECTOR_BYTES / 8];
  std::memcpy(word, &mask, sizeof word);
  int64_t any = 0;
  for (int64_t i = 0; i < HHD_VECTOR_BYTES / 8; ++i) any |= word[i];
  return any != 0;
#endif
}

// Bit i is set where lane i of the two is equal.
template <class A>
HHD_INLINE uint32_t equal_lanes(Vec<A> a, Vec<A> b) {
#if HHD_VECTOR_BYTES == 64
  if constexpr (sizeof(A) == 4) return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
  if constexpr (sizeof(A) == 8) return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ);
#elif HHD_VECTOR_BYTES == 32 && defined(__AVX__)
  if constexpr (sizeof(A) == 4) return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ));
  if constexpr (sizeof(A) == 8) return _mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_EQ_OQ));
#else
  uint32_t bits = 0;
  for (int64_t i = 0; i < kLanes<A>; ++i) bits |= static_cast<uint32_t>(a[i] == b[i]) << i;
  return bits;
#endif
}

// Calls f(m, v) for the vectors of n elements, the last one filled up with 0. Most windows' rows
// are a single one, whose mask is then the same for all.
template <class A, class F>
HHD_INLINE void for_vectors(const A* p, int64_t n, const F& f) {
  if (n <= kLanes<A>) return f(Constant<0>{}, load_first(p, n));
  for (int64_t m = 0; m < n; m += kLanes<A>) f(m, load_first(p + m, n - m));
}

// NaN stays NaN.
template <class T>
HHD_INLINE T clamp_to(T x, T low, T high) {
  return x < low ? low : (high < x ? high : x);
}

}  // namespace hhd::HHD_ISA
