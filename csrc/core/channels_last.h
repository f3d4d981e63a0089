// channels_last maps, where the joints of a pixel lie side by side: many joints are turned into
// planes, and back, on one way through memory, since one cache line holds many joints.
#pragma once

#include "elements.h"

namespace hhd::HHD_ISA {

HHD_INLINE bool joints_are_innermost(const View& v) {
  return v.stride[1] == 1 && v.stride[3] != 1 && v.size[1] > 1;
}

// The joints handled together: one, or a group where joints are innermost in memory.
struct Unit {
  int64_t b;
  int64_t k;
  int64_t count;
};

// So many that the planes of COCO's 17 joints are made at once and still fit a core's cache.
inline constexpr int64_t kMostJoints = 24;
// Fewer are read and written one by one.
inline constexpr int64_t kBlock = 8;

HHD_INLINE int64_t joints_per_unit(const View& v) {
  if (!joints_are_innermost(v)) return 1;
  const int64_t units = (v.size[1] + kMostJoints - 1) / kMostJoints;
  return (v.size[1] + units - 1) / units;
}

HHD_INLINE Unit unit_at(const View& v, int64_t index) {
  const int64_t joints = joints_per_unit(v);
  const int64_t per_instance = (v.size[1] + joints - 1) / joints;
  const int64_t k = index % per_instance * joints;
  return {index / per_instance, k, min_of(joints, v.size[1] - k)};
}

#if defined(__clang__) || __GNUC__ >= 12
#define HHD_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t Int8x32 __attribute__((vector_size(32)));
#define HHD_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Int8x32{__VA_ARGS__})
#endif

// {low[0..3], high[0..3]}.
HHD_INLINE Float8 load_halves_of(const float* low, const float* high) {
#if defined(__AVX__)
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
#else
  Float8 v;
  std::memcpy(&v, low, 16);
  std::memcpy(reinterpret_cast<char*>(&v) + 16, high, 16);
  return v;
#endif
}

// The upper half of either's lanes changes places with the lower half of the other's.
HHD_INLINE void exchange_halves(Float8& a, Float8& b) {
  const Float8 lower = HHD_SHUFFLE(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
  b = HHD_SHUFFLE(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
  a = lower;
}

// A transposition of 8 x 8 whose halves have been exchanged: r[i] with r[i + 4] for i < 4.
HHD_INLINE void transpose_quarters(Float8 (&r)[8]) {
  for (int i = 0; i < 8; i += 4) {
    const Float8 a = HHD_SHUFFLE(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    const Float8 b = HHD_SHUFFLE(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    const Float8 c = HHD_SHUFFLE(r[i + 2], r[i + 3], 0, 8, 1, 9, 4, 12, 5, 13);
    const Float8 d = HHD_SHUFFLE(r[i + 2], r[i + 3], 2, 10, 3, 11, 6, 14, 7, 15);
    r[i] = HHD_SHUFFLE(a, c, 0, 1, 8, 9, 4, 5, 12, 13);
    r[i + 1] = HHD_SHUFFLE(a, c, 2, 3, 10, 11, 6, 7, 14, 15);
    r[i + 2] = HHD_SHUFFLE(b, d, 0, 1, 8, 9, 4, 5, 12, 13);
    r[i + 3] = HHD_SHUFFLE(b, d, 2, 3, 10, 11, 6, 7, 14, 15);
  }
}

// The transposition of 8 x 8 floats, of rows `step` apart.
HHD_INLINE void load_transposed(const float* from, int64_t step, Float8 (&r)[8]) {
  for (int i = 0; i < 4; ++i) {
    r[i] = load_halves_of(from + i * step, from + (i + 4) * step);
    r[i + 4] = load_halves_of(from + i * step + 4, from + (i + 4) * step + 4);
  }
  transpose_quarters(r);
}

// How the eight joints of a block are stored in a pixel.
struct Float32 {
  typedef float Stored;
  HHD_INLINE static Float8 load8(const float* p) { return load8_float32(p); }
  HHD_INLINE static void store8(float* p, Float8 v) { std::memcpy(p, &v, sizeof v); }
};

struct Float16 {
  typedef uint16_t Stored;
  HHD_INLINE static Float8 load8(const uint16_t* p) { return load8_float16(p); }
  HHD_INLINE static void store8(uint16_t* p, Float8 v) { store8_float16(p, v); }
};

struct BFloat16 {
  typedef uint16_t Stored;
  HHD_INLINE static Float8 load8(const uint16_t* p) { return load8_bfloat16(p); }
  HHD_INLINE static void store8(uint16_t* p, Float8 v) { store8_bfloat16(p, v); }
};

template <class Format>
HHD_INLINE void load_block(const typename Format::Stored* from, int64_t step, Float8 (&block)[8]) {
  if constexpr (sizeof(*from) == 4) {
    load_transposed(from, step, block);
  } else {
    for (int c = 0; c < 8; ++c) block[c] = Format::load8(from + c * step);
    for (int c = 0; c < 4; ++c) exchange_halves(block[c], block[c + 4]);
    transpose_quarters(block);
  }
}

template <class F>
HHD_INLINE void with_stored(DType dtype, const F& f) {
  if (dtype == DType::kFloat32) return f(Float32{});
  if (dtype == DType::kFloat16) return f(Float16{});
  f(BFloat16{});
}

// Calls f(k, first) for the blocks of a unit's joints: k, ..., k + 7, of which those from k + first
// on are new. The last block reaches back over joints that had their turn.
template <class F>
HHD_INLINE void for_blocks(int64_t joints, const F& f) {
  int64_t k = 0;
  for (; k + kBlock <= joints; k += kBlock) f(k, int64_t{0});
  if (k < joints) f(joints - kBlock, k + kBlock - joints);
}

// The maps of at least 8 joints, from `from` on: joint c's to planes + c * size.
template <class Format>
HHD_INLINE void load_joints_as(const View& v, const Unit& unit, float* planes, int64_t size) {
  typedef typename Format::Stored Stored;
  const int64_t step = v.stride[3], width = v.size[3], joints = unit.count;
  for (int64_t i = 0; i < v.size[2]; ++i) {
    const Stored* row = static_cast<const Stored*>(address(v, offset_of(v, unit.b, unit.k, i)));
    float* to = planes + i * width;
    int64_t x = 0;
    for (; x + 8 <= width; x += 8) {
      const Stored* from = row + x * step;
      for (int c = 0; c < 8; ++c) __builtin_prefetch(from + c * step + 4096 / sizeof(Stored));
      for_blocks(joints, [&](int64_t k, int64_t first) {
        Float8 block[8];
        load_block<Format>(from + k, step, block);
        for (int c = 0; c < 8; ++c) {
          if (c >= first) std::memcpy(to + (k + c) * size + x, &block[c], sizeof block[c]);
        }
      });
    }
    for (; x < width; ++x) {
      for_blocks(joints, [&](int64_t k, int64_t) {
        const Float8 block = Format::load8(row + x * step + k);
        for (int c = 0; c < 8; ++c) to[(k + c) * size + x] = block[c];
      });
    }
  }
}

// The other way round.
template <class Format>
HHD_INLINE void store_joints_as(const View& v, const Unit& unit, const float* planes,
                                int64_t size) {
  typedef typename Format::Stored Stored;
  const int64_t step = v.stride[3], width = v.size[3], joints = unit.count;
  // What the last block shares with the one before is stored twice, alike.
  for (int64_t i = 0; i < v.size[2]; ++i) {
    Stored* row = static_cast<Stored*>(mutable_address(v, offset_of(v, unit.b, unit.k, i)));
    const float* from = planes + i * width;
    int64_t x = 0;
    for (; x + 8 <= width; x += 8) {
      Stored* to = row + x * step;
      for (int c = 0; c < 8; ++c) __builtin_prefetch(to + c * step + 4096 / sizeof(Stored), 1);
      for_blocks(joints, [&](int64_t k, int64_t) {
        Float8 block[8];
        load_transposed(from + k * size + x, size, block);
        for (int c = 0; c < 8; ++c) Format::store8(to + c * step + k, block[c]);
      });
    }
    for (; x < width; ++x) {
      for_blocks(joints, [&](int64_t k, int64_t) {
        Float8 block;
        for (int c = 0; c < 8; ++c) block[c] = from[(k + c) * size + x];
        Format::store8(row + x * step + k, block);
      });
    }
  }
}

inline void load_joints(const View& v, const Unit& unit, float* planes, int64_t size) {
  with_stored(v.dtype,
              [&](auto format) { load_joints_as<decltype(format)>(v, unit, planes, size); });
}

inline void store_joints(const View& v, const Unit& unit, const float* planes, int64_t size) {
  with_stored(v.dtype,
              [&](auto format) { store_joints_as<decltype(format)>(v, unit, planes, size); });
}

}  // namespace hhd::HHD_ISA
