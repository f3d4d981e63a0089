// exp and log on vectors. float: polynomials with a relative error below 1.5 ulp; double: libm.
#pragma once

#include <math.h>

#include "simd.h"

namespace hhd::HHD_ISA {

inline constexpr double kLog2E = 1.4426950408889634;
// ln of the smallest normal float32: what a mass that is exactly zero counts as in log space.
inline constexpr double kLogTiny = -87.33654475055310;

// 2^f on [-1/2, 1/2], minimax in relative error with 2^0 = 1 exactly (Lawson iteration): 9.1e-8.
HHD_INLINE Vec<float> exp2_fraction(Vec<float> f) {
  Vec<float> p = splat(0x1.5bba14p-10f);
  p = p * f + 0x1.3cea88p-7f;
  p = p * f + 0x1.c6b752p-5f;
  p = p * f + 0x1.ebf9bcp-3f;
  p = p * f + 0x1.62e42ap-1f;
  return p * f + 1.0f;
}

// 2^t for t <= 0; 0 for t < -126.5, -inf included; NaN stays NaN.
#if HHD_VECTOR_BYTES == 64
HHD_INLINE Vec<float> exp2_nonpositive(Vec<float> t) {
  // AVX-512 rounds and scales by a power of two in one instruction each. The mask clears what
  // would be subnormal; "not less" keeps NaN.
  const __mmask16 normal = _mm512_cmp_ps_mask(t, splat(-126.5f), _CMP_NLT_UQ);
  const Vec<float> n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  return _mm512_maskz_scalef_ps(normal, exp2_fraction(t - n), n);
}
#else
HHD_INLINE Vec<float> exp2_nonpositive(Vec<float> t) {
  t = max_or_second<float>(splat(-127.0f), t);
  // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
  const Vec<float> magic = splat(12582912.0f);
  const Vec<float> shifted = t + magic;
  const Vec<float> p = exp2_fraction(t - (shifted - magic));
  typedef uint32_t Unsigned __attribute__((vector_size(HHD_VECTOR_BYTES)));
  Unsigned n;
  std::memcpy(&n, &shifted, sizeof n);
  // n = -127 makes the exponent field 0, a factor of exactly 0.
  const Unsigned scale_bits = (n + 127) << 23;
  Vec<float> scale;
  std::memcpy(&scale, &scale_bits, sizeof scale);
  return p * scale;
}
#endif

HHD_INLINE Vec<double> exp2_nonpositive(Vec<double> t) {
  for (int64_t i = 0; i < kLanes<double>; ++i) t[i] = ::exp2(t[i]);
  return t;
}

// ln x for normal positive x.
HHD_INLINE Vec<float> log_positive(Vec<float> x) {
  Bits<float> bits;
  std::memcpy(&bits, &x, sizeof bits);
  // The mantissa is brought to [sqrt(1/2), sqrt(2)) by moving the exponent's boundary.
  const Bits<float> offset = bits - 0x3f3504f3;
  const Bits<float> exponent = offset >> 23;
  const Bits<float> mantissa_bits = (offset & 0x007fffff) + 0x3f3504f3;
  Vec<float> m;
  std::memcpy(&m, &mantissa_bits, sizeof m);
  // ln m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172: the odd series is short.
  const Vec<float> s = (m - 1.0f) / (m + 1.0f);
  const Vec<float> z = s * s;
  Vec<float> p = splat(2.0f / 9.0f);
  p = p * z + 2.0f / 7.0f;
  p = p * z + 2.0f / 5.0f;
  p = p * z + 2.0f / 3.0f;
  const Vec<float> e = __builtin_convertvector(exponent, Vec<float>);
  return e * 0.693147181f + (s * 2.0f + s * z * p);
}

HHD_INLINE Vec<double> log_positive(Vec<double> x) {
  for (int64_t i = 0; i < kLanes<double>; ++i) x[i] = ::log(x[i]);
  return x;
}

HHD_INLINE float exp_of(float x) { return ::expf(x); }
HHD_INLINE double exp_of(double x) { return ::exp(x); }
HHD_INLINE float log_of(float x) { return ::logf(x); }
HHD_INLINE double log_of(double x) { return ::log(x); }
HHD_INLINE float sqrt_of(float x) { return __builtin_sqrtf(x); }
HHD_INLINE double sqrt_of(double x) { return __builtin_sqrt(x); }
HHD_INLINE float floor_of(float x) { return __builtin_floorf(x); }
HHD_INLINE double floor_of(double x) { return __builtin_floor(x); }
HHD_INLINE float abs_of(float x) { return __builtin_fabsf(x); }
HHD_INLINE double abs_of(double x) { return __builtin_fabs(x); }

// NaN stays NaN.
template <class A>
HHD_INLINE Vec<A> positive_part(Vec<A> v) {
  return max_or_second<A>(Vec<A>{}, v);
}

template <class A>
HHD_INLINE bool is_nan(A x) {
  return x != x;
}

template <class A>
HHD_INLINE bool is_finite(A x) {
  return x - x == 0;
}

// Infinities become NaN.
template <class A>
HHD_INLINE A finite_or_nan(A x) {
  return x + (x - x);
}

}  // namespace hhd::HHD_ISA
