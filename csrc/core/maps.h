// Maps as padded planes of float or double, whatever their dtype and strides.
//
// A plane's rows are padded to whole vectors, so that no kernel has a tail loop. Maps that are
// planes already are used in place; others pass through a bounded scratch. channels_last maps are
// turned into planes eight joints at a time, since one cache line holds many joints.
#pragma once

#include <stdlib.h>

#include <new>

#include "elements.h"

namespace hhd::HHD_ISA {

inline constexpr int64_t kUnitJoints = 8;

HHD_INLINE bool joints_are_innermost(const View& v) {
  return v.stride[1] == 1 && v.stride[3] != 1 && v.size[1] > 1;
}

// The joints handled together: one, or a group where joints are innermost in memory.
struct Unit {
  int64_t b;
  int64_t k;
  int64_t count;
};

HHD_INLINE int64_t joints_per_unit(const View& v) {
  return joints_are_innermost(v) ? kUnitJoints : 1;
}

HHD_INLINE Unit unit_at(const View& v, int64_t index) {
  const int64_t joints = joints_per_unit(v);
  const int64_t per_instance = (v.size[1] + joints - 1) / joints;
  const int64_t k = index % per_instance * joints;
  return {index / per_instance, k, min_of(joints, v.size[1] - k)};
}

// Scratch of one thread. Not std::vector: see simd.h.
template <class A>
class Buffer {
 public:
  explicit Buffer(int64_t n) {
    if (n > 0 && ::posix_memalign(reinterpret_cast<void**>(&data_), 64, n * sizeof(A)) != 0) {
      throw std::bad_alloc();
    }
  }
  ~Buffer() { ::free(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  A* get() const { return data_; }

 private:
  A* data_ = nullptr;
};

template <class A>
struct Plane {
  A* data;
  int64_t stride;
  int64_t height;
  int64_t width;   // without the padding
  int64_t padded;  // a multiple of the vector's lanes
  // Where given, the plane is still empty and the scan fills it from these bfloat16 rows.
  const uint16_t* packed = nullptr;
  int64_t packed_stride = 0;
  HHD_INLINE A* row(int64_t i) const { return data + i * stride; }
};

template <class A>
HHD_INLINE int64_t plane_size(const View& v) {
  // The extra line keeps eight planes from falling into the same cache sets.
  return v.size[2] * round_up_to_lanes<A>(v.size[3]) + 64 / sizeof(A);
}

#if defined(__clang__) || __GNUC__ >= 12
#define HHD_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int32_t Int8x32 __attribute__((vector_size(32)));
#define HHD_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Int8x32{__VA_ARGS__})
#endif

HHD_INLINE void transpose8(Float8 (&r)[8]) {
  Float8 t[8], u[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = HHD_SHUFFLE(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
    t[i + 1] = HHD_SHUFFLE(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
  }
  for (int i = 0; i < 8; i += 4) {
    u[i] = HHD_SHUFFLE(t[i], t[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    u[i + 1] = HHD_SHUFFLE(t[i], t[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    u[i + 2] = HHD_SHUFFLE(t[i + 1], t[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
    u[i + 3] = HHD_SHUFFLE(t[i + 1], t[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = HHD_SHUFFLE(u[i], u[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    r[i + 4] = HHD_SHUFFLE(u[i], u[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

// Vectors of whole eights meet bfloat16 in registers, without a stop in memory.
template <class A>
inline constexpr bool kPacksBFloat16 = sizeof(A) == 4 && kLanes<A> >= 8;

// Whether a map's rows are whole vectors of bfloat16.
template <class A>
HHD_INLINE bool is_packed(const View& v) {
  return kPacksBFloat16<A> && v.dtype == DType::kBFloat16 && v.stride[3] == 1 &&
         v.size[3] == round_up_to_lanes<A>(v.size[3]);
}

#if HHD_VECTOR_BYTES == 64
// Two halves put together in memory would stall: a load cannot be served from two stores.
HHD_INLINE void load_bfloat16(const uint16_t* p, Vec<float>& v) {
  const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  v = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

HHD_INLINE void store_bfloat16(uint16_t* p, Vec<float> v) {
  const __m512i u = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  const __m512i rounded = _mm512_mask_set1_epi32(_mm512_srli_epi32(sum, 16), nan, 0x7fc0);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
}
#else
HHD_INLINE void load_bfloat16(const uint16_t* p, Vec<float>& v) {
  Float8 eights[kLanes<float> / 8 + 1];
  for (int64_t i = 0; i < kLanes<float>; i += 8) eights[i / 8] = load8_bfloat16(p + i);
  std::memcpy(&v, eights, sizeof v);
}

HHD_INLINE void store_bfloat16(uint16_t* p, Vec<float> v) {
  Float8 eights[kLanes<float> / 8 + 1];
  std::memcpy(eights, &v, sizeof v);
  if constexpr (kLanes<float> == 8) store8_bfloat16(p, eights[0]);
}
#endif

// Reads the maps of a unit as planes; the padding holds `fill`.
template <class A>
class Reader {
 public:
  Reader(const View& v, A fill)
      : v_(v),
        fill_(fill),
        padded_(round_up_to_lanes<A>(v.size[3])),
        grouped_(joints_are_innermost(v) && sizeof(A) == 4 && v.dtype != DType::kFloat64),
        in_place_(v.dtype == dtype_of<A>() && v.stride[3] == 1 && v.size[3] == padded_),
        packed_(is_packed<A>(v)),
        planes_(in_place_ ? 0 : plane_size<A>(v) * (grouped_ ? kUnitJoints : 1)) {}

  // As `plane`, for a map that is scanned before anything else reads it: bfloat16 rows are
  // converted by the scan, which has them in registers anyway.
  HHD_INLINE Plane<A> plane_to_scan(const Unit& unit, int64_t j) {
    if (!packed_) return plane(unit, j);
    const void* rows = address(v_, offset_of(v_, unit.b, unit.k + j));
    return {planes_.get(), padded_, v_.size[2],
            v_.size[3],    padded_, static_cast<const uint16_t*>(rows),
            v_.stride[2]};
  }

  // The plane of joint `unit.k + j`. Joints of a unit are asked for in order.
  HHD_INLINE Plane<A> plane(const Unit& unit, int64_t j) {
    const int64_t height = v_.size[2], width = v_.size[3];
    if (in_place_) {
      A* data = static_cast<A*>(mutable_address(v_, offset_of(v_, unit.b, unit.k + j)));
      return {data, v_.stride[2], height, width, padded_};
    }
    A* data = planes_.get() + (grouped_ ? j * plane_size<A>(v_) : 0);
    if (grouped_ && unit.count == kUnitJoints) {
      if (j == 0) load_group(unit);
    } else {
      load_one(unit.b, unit.k + j, data);
    }
    return {data, padded_, height, width, padded_};
  }

 private:
  void load_one(int64_t b, int64_t k, A* data) {
    const int64_t step = v_.stride[3];
    for (int64_t i = 0; i < v_.size[2]; ++i) {
      A* row = data + i * padded_;
      const int64_t offset = offset_of(v_, b, k, i);
      if (step == 1) {
        // Hardware prefetching starts anew at every page.
        const char* ahead = static_cast<const char*>(address(v_, offset)) + 4096;
        for (int64_t at = 0; at < v_.size[3] * element_size(v_.dtype); at += 64) {
          __builtin_prefetch(ahead + at);
        }
        read_run(v_, offset, v_.size[3], row);
      } else {
        read_strided(v_, offset, step, v_.size[3], row);
      }
      for (int64_t x = v_.size[3]; x < padded_; ++x) row[x] = fill_;
    }
  }

  void load_group(const Unit& unit) {
    if constexpr (sizeof(A) == 4) {
      switch (v_.dtype) {
        case DType::kFloat32:
          return load_group_of<float>(unit, load8_float32);
        case DType::kFloat16:
          return load_group_of<uint16_t>(unit, load8_float16);
        default:
          return load_group_of<uint16_t>(unit, load8_bfloat16);
      }
    }
  }

  template <class Stored, class Load>
  HHD_INLINE void load_group_of(const Unit& unit, const Load& load8) {
    const int64_t size = plane_size<A>(v_), step = v_.stride[3], width = v_.size[3];
    for (int64_t i = 0; i < v_.size[2]; ++i) {
      const Stored* src = static_cast<const Stored*>(address(v_, offset_of(v_, unit.b, unit.k, i)));
      A* dst = planes_.get() + i * padded_;
      int64_t x = 0;
      for (; x + 8 <= width; x += 8) {
        Float8 block[8];
        for (int c = 0; c < 8; ++c) {
          __builtin_prefetch(src + (x + c) * step + 4096 / sizeof(Stored));
          block[c] = load8(src + (x + c) * step);
        }
        transpose8(block);
        for (int c = 0; c < 8; ++c) std::memcpy(dst + c * size + x, &block[c], sizeof block[c]);
      }
      for (; x < width; ++x) {
        const Float8 joints = load8(src + x * step);
        for (int c = 0; c < 8; ++c) dst[c * size + x] = joints[c];
      }
      for (; x < padded_; ++x) {
        for (int c = 0; c < 8; ++c) dst[c * size + x] = fill_;
      }
    }
  }

  const View& v_;
  const A fill_;
  const int64_t padded_;
  const bool grouped_;
  const bool in_place_;
  const bool packed_;
  Buffer<A> planes_;
};

// Memory that will be written soon: it may be fetched into the cache ahead of that.
struct Destination {
  const char* data = nullptr;
  int64_t row_bytes = 0;
  int64_t element_bytes = 0;
};

// Takes the rows of one map, in whole vectors, and stores them with the output's dtype and strides.
// Small enough for a local copy in registers: what is referred to could be changed by any store, as
// far as the compiler knows.
template <class A>
class MapWriter {
 public:
  // Rows go to `data` in float or double. There, or as bfloat16, they are where they belong
  // (`converts` false), or each is then stored from there.
  MapWriter(const View& view, int64_t offset, A* data, int64_t stride, bool converts)
      : view_(&view), offset_(offset), data_(data), stride_(stride), converts_(converts) {
    if (!is_packed<A>(view)) return;
    packed_ = static_cast<uint16_t*>(mutable_address(view, offset));
    stride_ = view.stride[2];
  }

  // Where the map's rows will be stored, if each is a run of memory.
  HHD_INLINE Destination destination() const {
    if (view_->stride[3] != 1) return {};
    const int64_t bytes = element_size(view_->dtype);
    return {static_cast<const char*>(address(*view_, offset_)), view_->stride[2] * bytes, bytes};
  }

  // Stores row i: value(x) is the vector at column x < padded.
  template <class Length, class Value>
  HHD_INLINE void write_row(int64_t i, Length padded, const Value& value) const {
    if constexpr (kPacksBFloat16<A>) {
      if (packed_ != nullptr) {
        uint16_t* out = packed_ + i * stride_;
        for (int64_t x = 0; x < padded; x += kLanes<A>) store_bfloat16(out + x, value(x));
        return;
      }
    }
    A* out = data_ + i * stride_;
    for (int64_t x = 0; x < padded; x += kLanes<A>) store(out + x, value(x));
    if (converts_) convert_row(i);
  }

 private:
  void convert_row(int64_t i) const {
    const View& v = *view_;
    const int64_t offset = offset_ + i * v.stride[2], step = v.stride[3];
    if (step == 1) {
      write_run(v, offset, v.size[3], data_);
    } else {
      write_strided(v, offset, step, v.size[3], data_);
    }
  }

  const View* view_;
  int64_t offset_;
  A* data_;
  uint16_t* packed_ = nullptr;
  int64_t stride_;
  bool converts_;
};

// The writers of the maps of a unit.
template <class A>
class Writer {
 public:
  explicit Writer(const View& v)
      : v_(v),
        padded_(round_up_to_lanes<A>(v.size[3])),
        grouped_(joints_are_innermost(v) && sizeof(A) == 4 && v.dtype != DType::kFloat64),
        in_place_(v.dtype == dtype_of<A>() && v.stride[3] == 1 && v.size[3] == padded_),
        scratch_(in_place_  ? 0
                 : grouped_ ? plane_size<A>(v) * kUnitJoints
                            : padded_) {}

  // For joint `unit.k + j`, whose rows come next.
  HHD_INLINE MapWriter<A> map(const Unit& unit, int64_t j) const {
    const int64_t offset = offset_of(v_, unit.b, unit.k + j);
    if (in_place_) {
      return {v_, offset, static_cast<A*>(mutable_address(v_, offset)), v_.stride[2], false};
    }
    if (!collects(unit)) return {v_, offset, scratch_.get(), 0, true};
    return {v_, offset, scratch_.get() + j * plane_size<A>(v_), padded_, false};
  }

  HHD_INLINE void fill_map(const Unit& unit, int64_t j, A value) const {
    const MapWriter<A> writer = map(unit, j);
    for (int64_t i = 0; i < v_.size[2]; ++i) {
      writer.write_row(i, padded_, [value](int64_t) { return splat(value); });
    }
  }

  HHD_INLINE void finish_unit(const Unit& unit) const {
    if (!in_place_ && collects(unit)) store_group(unit);
  }

 private:
  HHD_INLINE bool collects(const Unit& unit) const { return grouped_ && unit.count == kUnitJoints; }

  void store_group(const Unit& unit) const {
    if constexpr (sizeof(A) == 4) {
      switch (v_.dtype) {
        case DType::kFloat32:
          return store_group_of<float>(unit,
                                       [](float* p, Float8 x) { std::memcpy(p, &x, sizeof x); });
        case DType::kFloat16:
          return store_group_of<uint16_t>(unit, store8_float16);
        default:
          return store_group_of<uint16_t>(unit, store8_bfloat16);
      }
    }
  }

  template <class Stored, class Store>
  HHD_INLINE void store_group_of(const Unit& unit, const Store& store8) const {
    const int64_t size = plane_size<A>(v_), step = v_.stride[3], width = v_.size[3];
    for (int64_t i = 0; i < v_.size[2]; ++i) {
      Stored* dst = static_cast<Stored*>(mutable_address(v_, offset_of(v_, unit.b, unit.k, i)));
      const A* src = scratch_.get() + i * padded_;
      int64_t x = 0;
      for (; x + 8 <= width; x += 8) {
        Float8 block[8];
        for (int c = 0; c < 8; ++c) std::memcpy(&block[c], src + c * size + x, sizeof block[c]);
        transpose8(block);
        for (int c = 0; c < 8; ++c) {
          __builtin_prefetch(dst + (x + c) * step + 4096 / sizeof(Stored), 1);
          store8(dst + (x + c) * step, block[c]);
        }
      }
      for (; x < width; ++x) {
        Float8 joints;
        for (int c = 0; c < 8; ++c) joints[c] = src[c * size + x];
        store8(dst + x * step, joints);
      }
    }
  }

  const View& v_;
  const int64_t padded_;
  const bool grouped_;
  const bool in_place_;
  Buffer<A> scratch_;
};

}  // namespace hhd::HHD_ISA
