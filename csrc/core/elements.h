// Reading and writing stored elements (float32, float64, float16, bfloat16) as float or double.
#pragma once

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "simd.h"
#include "types.h"

namespace hhd::HHD_ISA {

// Eight values at a time, whatever the instruction set's own width: half precision packs well
// in eights, and 8 x 8 blocks turn channels_last maps into planes.
typedef float Float8 __attribute__((vector_size(32)));
typedef uint32_t UInt8x32 __attribute__((vector_size(32)));
typedef uint16_t UInt8x16 __attribute__((vector_size(16)));

HHD_INLINE uint32_t bits_of(float x) {
  uint32_t u;
  std::memcpy(&u, &x, sizeof u);
  return u;
}

HHD_INLINE float float_of(uint32_t u) {
  float x;
  std::memcpy(&x, &u, sizeof x);
  return x;
}

HHD_INLINE float from_bfloat16(uint16_t h) { return float_of(static_cast<uint32_t>(h) << 16); }

// Round to nearest even; NaN to the quiet NaN.
HHD_INLINE uint16_t to_bfloat16(float x) {
  const uint32_t u = bits_of(x);
  if (x != x) return 0x7fc0;
  return static_cast<uint16_t>((u + 0x7fff + ((u >> 16) & 1)) >> 16);
}

HHD_INLINE float from_float16(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
  const uint32_t rest = h & 0x7fff;
  // Moving the exponent by multiplying makes subnormals come out right.
  float x = float_of(rest << 13) * 0x1p112f;
  if (rest >= 0x7c00) x = float_of(0x7f800000u | (rest << 13));
  return float_of(bits_of(x) | sign);
}

HHD_INLINE uint16_t to_float16(float x) {
  const uint32_t u = bits_of(x);
  const uint16_t sign = static_cast<uint16_t>((u >> 16) & 0x8000);
  const uint32_t a = u & 0x7fffffff;
  if (a > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
  if (a >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);
  if (a < 0x38800000) {
    // Subnormal: adding 1/2 puts the rounded mantissa into the low bits.
    return static_cast<uint16_t>(sign | (bits_of(float_of(a) + 0.5f) - 0x3f000000));
  }
  return static_cast<uint16_t>(sign | ((a + 0xc8000fff + ((a >> 13) & 1)) >> 13));
}

HHD_INLINE Float8 load8_float32(const float* p) {
  Float8 v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

HHD_INLINE Float8 load8_bfloat16(const uint16_t* p) {
#if defined(__AVX2__)
  // One instruction, where the generic conversion below takes three shuffles.
  const UInt8x32 wide = reinterpret_cast<UInt8x32>(
      _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#else
  UInt8x16 h;
  std::memcpy(&h, p, sizeof h);
  const UInt8x32 wide = __builtin_convertvector(h, UInt8x32);
#endif
  const UInt8x32 u = wide << 16;
  Float8 v;
  std::memcpy(&v, &u, sizeof v);
  return v;
}

// bfloat16 in the low half of each lane.
HHD_INLINE UInt8x32 rounded_to_bfloat16(Float8 v) {
  UInt8x32 u;
  std::memcpy(&u, &v, sizeof u);
  const UInt8x32 rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  const UInt8x32 nan = UInt8x32{} + 0x7fc0;
  return v == v ? rounded : nan;
}

HHD_INLINE void store8_bfloat16(uint16_t* p, Float8 v) {
  const UInt8x16 h = __builtin_convertvector(rounded_to_bfloat16(v), UInt8x16);
  std::memcpy(p, &h, sizeof h);
}

HHD_INLINE void store16_bfloat16(uint16_t* p, Float8 a, Float8 b) {
#if defined(__AVX2__)
  // Packing works within halves of the vector; the permutation puts the quarters in order.
  const __m256i packed = _mm256_packus_epi32(reinterpret_cast<__m256i>(rounded_to_bfloat16(a)),
                                             reinterpret_cast<__m256i>(rounded_to_bfloat16(b)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(packed, 0xd8));
#else
  store8_bfloat16(p, a);
  store8_bfloat16(p + 8, b);
#endif
}

HHD_INLINE Float8 load8_float16(const uint16_t* p) {
  Float8 v;
#if defined(__F16C__)
  const __m256 x = _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  std::memcpy(&v, &x, sizeof v);
#else
  for (int i = 0; i < 8; ++i) v[i] = from_float16(p[i]);
#endif
  return v;
}

HHD_INLINE void store8_float16(uint16_t* p, Float8 v) {
#if defined(__F16C__)
  __m256 x;
  std::memcpy(&x, &v, sizeof x);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
#else
  for (int i = 0; i < 8; ++i) p[i] = to_float16(v[i]);
#endif
}

HHD_INLINE int64_t element_size(DType dtype) {
  return dtype == DType::kFloat64 ? 8 : dtype == DType::kFloat32 ? 4 : 2;
}

template <class A>
HHD_INLINE constexpr DType dtype_of() {
  return sizeof(A) == 8 ? DType::kFloat64 : DType::kFloat32;
}

HHD_INLINE const void* address(const View& v, int64_t offset) {
  return static_cast<const char*>(v.data) + offset * element_size(v.dtype);
}

HHD_INLINE void* mutable_address(const View& v, int64_t offset) {
  return static_cast<char*>(v.data) + offset * element_size(v.dtype);
}

HHD_INLINE int64_t offset_of(const View& v, int64_t i, int64_t j, int64_t k = 0, int64_t l = 0) {
  return i * v.stride[0] + j * v.stride[1] + k * v.stride[2] + l * v.stride[3];
}

// n elements, `step` apart. memcpy, as a tensor over foreign memory need not be aligned.
template <class A>
HHD_INLINE void read_strided(const View& v, int64_t offset, int64_t step, int64_t n, A* out) {
  const char* from = static_cast<const char*>(address(v, offset));
  const auto read_as = [&](auto stored, const auto& convert) {
    const int64_t bytes = step * static_cast<int64_t>(sizeof stored);
    for (int64_t i = 0; i < n; ++i) {
      std::memcpy(&stored, from + i * bytes, sizeof stored);
      out[i] = static_cast<A>(convert(stored));
    }
  };
  switch (v.dtype) {
    case DType::kFloat32:
      return read_as(float{}, [](float x) { return x; });
    case DType::kFloat64:
      return read_as(double{}, [](double x) { return x; });
    case DType::kFloat16:
      return read_as(uint16_t{}, from_float16);
    case DType::kBFloat16:
      return read_as(uint16_t{}, from_bfloat16);
  }
}

template <class A>
HHD_INLINE void write_strided(const View& v, int64_t offset, int64_t step, int64_t n, const A* in) {
  char* to = static_cast<char*>(mutable_address(v, offset));
  const auto write_as = [&](const auto& convert) {
    for (int64_t i = 0; i < n; ++i) {
      const auto stored = convert(in[i]);
      std::memcpy(to + i * step * static_cast<int64_t>(sizeof stored), &stored, sizeof stored);
    }
  };
  switch (v.dtype) {
    case DType::kFloat32:
      return write_as([](A x) { return static_cast<float>(x); });
    case DType::kFloat64:
      return write_as([](A x) { return static_cast<double>(x); });
    case DType::kFloat16:
      return write_as([](A x) { return to_float16(static_cast<float>(x)); });
    case DType::kBFloat16:
      return write_as([](A x) { return to_bfloat16(static_cast<float>(x)); });
  }
}

template <class A>
HHD_INLINE A read(const View& v, int64_t offset) {
  A x = 0;
  read_strided(v, offset, 1, 1, &x);
  return x;
}

template <class A>
HHD_INLINE void write(const View& v, int64_t offset, A x) {
  write_strided(v, offset, 1, 1, &x);
}

// n consecutive elements.
template <class A>
HHD_INLINE void read_run(const View& v, int64_t offset, int64_t n, A* out) {
  if (v.dtype == dtype_of<A>()) {
    std::memcpy(out, address(v, offset), n * sizeof(A));
    return;
  }
  int64_t i = 0;
  if constexpr (sizeof(A) == 4) {
    const uint16_t* p = static_cast<const uint16_t*>(address(v, offset));
    if (v.dtype == DType::kBFloat16) {
      for (; i + 8 <= n; i += 8) {
        const Float8 x = load8_bfloat16(p + i);
        std::memcpy(out + i, &x, sizeof x);
      }
    } else if (v.dtype == DType::kFloat16) {
      for (; i + 8 <= n; i += 8) {
        const Float8 x = load8_float16(p + i);
        std::memcpy(out + i, &x, sizeof x);
      }
    }
  }
  read_strided(v, offset + i, 1, n - i, out + i);
}

template <class A>
HHD_INLINE void write_run(const View& v, int64_t offset, int64_t n, const A* in) {
  if (v.dtype == dtype_of<A>()) {
    std::memcpy(mutable_address(v, offset), in, n * sizeof(A));
    return;
  }
  int64_t i = 0;
  if constexpr (sizeof(A) == 4) {
    uint16_t* p = static_cast<uint16_t*>(mutable_address(v, offset));
    if (v.dtype == DType::kBFloat16) {
      for (; i + 16 <= n; i += 16) {
        store16_bfloat16(p + i, load8_float32(in + i), load8_float32(in + i + 8));
      }
      if (i + 8 <= n) {
        store8_bfloat16(p + i, load8_float32(in + i));
        i += 8;
      }
    } else if (v.dtype == DType::kFloat16) {
      for (; i + 8 <= n; i += 8) store8_float16(p + i, load8_float32(in + i));
    }
  }
  write_strided(v, offset + i, 1, n - i, in + i);
}

}  // namespace hhd::HHD_ISA
