// Stored elements (float32, float64, float16, bfloat16), one by one and sixteen bytes at a time.
#pragma once

#include "device.h"

namespace hhd::cuda {

struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// What sums over elements of T are kept in.
template <class T>
struct AccumulatorOf {
  using Type = float;
};
template <>
struct AccumulatorOf<double> {
  using Type = double;
};
template <class T>
using Accumulator = typename AccumulatorOf<T>::Type;

// Elements in a vector of 16 bytes.
template <class T>
inline constexpr int kLanes = 16 / static_cast<int>(sizeof(T));

HHD_DEVICE float widen(float x) { return x; }
HHD_DEVICE double widen(double x) { return x; }
HHD_DEVICE float widen(Float16 x) { return from_float16(x.bits); }
HHD_DEVICE float widen(BFloat16 x) { return from_bfloat16(x.bits); }

template <class T>
HHD_DEVICE T narrow(Accumulator<T> x) {
  if constexpr (std::is_same_v<T, Float16>) {
    return {to_float16(x)};
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return {to_bfloat16(x)};
  } else {
    return x;
  }
}

template <class T>
HHD_DEVICE void unpack(const Vector16& packed, Accumulator<T> (&values)[kLanes<T>]) {
  if constexpr (sizeof(T) == 2) {
    for (int i = 0; i < 4; ++i) {
      const uint32_t word = packed.words[i];
      values[2 * i] = widen(T{static_cast<uint16_t>(word)});
      // A bfloat16 in the high half is a float32 but for the low half.
      values[2 * i + 1] = std::is_same_v<T, BFloat16> ? float_of(word & 0xffff0000u)
                                                      : widen(T{static_cast<uint16_t>(word >> 16)});
    }
  } else {
    memcpy(values, &packed, sizeof packed);
  }
}

template <class T>
HHD_DEVICE Vector16 pack(const Accumulator<T> (&values)[kLanes<T>]) {
  Vector16 packed;
  if constexpr (sizeof(T) == 2) {
    for (int i = 0; i < 4; ++i) {
      const float low = values[2 * i], high = values[2 * i + 1];
      packed.words[i] =
          std::is_same_v<T, BFloat16> ? to_bfloat16x2(low, high) : to_float16x2(low, high);
    }
  } else {
    memcpy(&packed, values, sizeof packed);
  }
  return packed;
}

HHD_HOST_DEVICE int64_t offset_of(const View& v, int64_t i, int64_t j, int64_t k = 0,
                                  int64_t l = 0) {
  return i * v.stride[0] + j * v.stride[1] + k * v.stride[2] + l * v.stride[3];
}

template <class T>
HHD_DEVICE T* elements(const View& v, int64_t offset) {
  return static_cast<T*>(v.data) + offset;
}

// One element of whatever dtype.
template <class A>
HHD_DEVICE A read(const View& v, int64_t offset) {
  switch (v.dtype) {
    case DType::kFloat32:
      return static_cast<A>(load(elements<float>(v, offset)));
    case DType::kFloat64:
      return static_cast<A>(load(elements<double>(v, offset)));
    case DType::kFloat16:
      return from_float16(load(elements<uint16_t>(v, offset)));
    default:
      return from_bfloat16(load(elements<uint16_t>(v, offset)));
  }
}

// Calls f with a value of the type that `dtype` stores: one template level, for all kernels.
template <class F>
void with_type(DType dtype, const F& f) {
  switch (dtype) {
    case DType::kFloat32:
      return f(float{});
    case DType::kFloat64:
      return f(double{});
    case DType::kFloat16:
      return f(Float16{});
    case DType::kBFloat16:
      return f(BFloat16{});
  }
}

template <class A>
HHD_DEVICE bool is_nan(A x) {
  return x != x;
}

template <class A>
HHD_DEVICE bool is_finite(A x) {
  return x - x == 0;
}

template <class T>
HHD_HOST_DEVICE T min_of(T a, T b) {
  return b < a ? b : a;
}

template <class T>
HHD_HOST_DEVICE T max_of(T a, T b) {
  return a < b ? b : a;
}

// Of two numbers the larger; a NaN is passed over.
HHD_DEVICE float larger_number(float a, float b) { return ::fmaxf(a, b); }
HHD_DEVICE double larger_number(double a, double b) { return ::fmax(a, b); }

// NaN stays NaN.
template <class T>
HHD_DEVICE T clamp_to(T x, T low, T high) {
  return x < low ? low : (high < x ? high : x);
}

// Infinities become NaN.
template <class A>
HHD_DEVICE A finite_or_nan(A x) {
  return x + (x - x);
}

template <class A>
HHD_DEVICE A positive_part(A x) {
  return x < 0 ? A(0) : x;
}

template <class A>
inline constexpr A kInfinity = static_cast<A>(__builtin_huge_val());

}  // namespace hhd::cuda
