// Maps as planes of float or double, whatever their dtype and strides.
//
// A map that is one run of memory, row after row, is used in place; half precision is converted by
// the first scan of a map and by the last pass that writes one; others pass through a bounded
// scratch, where they are such runs, too.
#pragma once

#include <stdlib.h>

#include <cstddef>
#include <cstdint>
#include <new>

#include "channels_last.h"

namespace hhd::HHD_ISA {

// Scratch of one thread, from the start of a cache line on. Not std::vector: see simd.h.
template <class A>
class Buffer {
 public:
  explicit Buffer(int64_t n) {
    if (n <= 0) return;
    const std::size_t bytes = static_cast<std::size_t>(n) * sizeof(A);
#if defined(__SANITIZE_ADDRESS__)
    // So that what lies behind is nobody's.
    if (::posix_memalign(&block_, kLine, bytes) != 0) throw std::bad_alloc();
    data_ = static_cast<A*>(block_);
#else
    // A C library has small blocks at hand, but searches for aligned ones, a microsecond for all.
    block_ = ::malloc(bytes + kLine - 1);
    if (block_ == nullptr) throw std::bad_alloc();
    const auto address = reinterpret_cast<std::uintptr_t>(block_);
    data_ = reinterpret_cast<A*>((address + kLine - 1) / kLine * kLine);
#endif
  }
  ~Buffer() { ::free(block_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  A* get() const { return data_; }

 private:
  static constexpr std::size_t kLine = 64;

  void* block_ = nullptr;
  A* data_ = nullptr;
};

// How a map is stored that the first scan converts.
enum class Packed { kNot, kBFloat16, kFloat16 };

template <class A>
struct Plane {
  A* data;
  int64_t stride;
  int64_t height;
  int64_t width;
  // Where this is given, the plane is still empty and the scan fills it from here.
  const uint16_t* packed_data = nullptr;
  Packed packed = Packed::kNot;
  HHD_INLINE A* row(int64_t i) const { return data + i * stride; }
};

template <class A>
HHD_INLINE int64_t plane_size(const View& v) {
  // The extra line keeps eight planes from falling into the same cache sets.
  return v.size[2] * round_up_to_lanes<A>(v.size[3]) + 64 / sizeof(A);
}

// Whether a map's rows follow one another without a gap.
HHD_INLINE bool is_one_run(const View& v) {
  return v.stride[3] == 1 && (v.stride[2] == v.size[3] || v.size[2] == 1);
}

// Vectors of whole eights meet half precision in registers, without a stop in memory.
template <class A>
inline constexpr bool kPacksHalf = sizeof(A) == 4 && HHD_VECTOR_BYTES >= 32;

template <class A>
HHD_INLINE Packed packed_as(const View& v) {
  if (!kPacksHalf<A> || !is_one_run(v)) return Packed::kNot;
  return v.dtype == DType::kBFloat16  ? Packed::kBFloat16
         : v.dtype == DType::kFloat16 ? Packed::kFloat16
                                      : Packed::kNot;
}

#if HHD_VECTOR_BYTES == 64
typedef __m256i Halves;  // as many as a Vec<float> has lanes

HHD_INLINE Halves load_halves(const uint16_t* p, AllLanes<float>) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

HHD_INLINE Halves load_halves(const uint16_t* p, int64_t n) {
  return _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << n) - 1), p);
}

HHD_INLINE void store_halves(uint16_t* p, AllLanes<float>, Halves h) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), h);
}

HHD_INLINE void store_halves(uint16_t* p, int64_t n, Halves h) {
  _mm256_mask_storeu_epi16(p, static_cast<__mmask16>((1u << n) - 1), h);
}

HHD_INLINE Vec<float> unpack(Halves h, Packed kind) {
  if (kind == Packed::kFloat16) return _mm512_cvtph_ps(h);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

HHD_INLINE Halves pack(Vec<float> v, Packed kind) {
  if (kind == Packed::kFloat16) return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
  const __m512i u = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd);
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_mask_set1_epi32(_mm512_srli_epi32(sum, 16), nan, 0x7fc0));
}
#elif HHD_VECTOR_BYTES == 32
typedef UInt8x16 Halves;

HHD_INLINE Halves load_halves(const uint16_t* p, AllLanes<float>) {
  Halves h;
  std::memcpy(&h, p, sizeof h);
  return h;
}

HHD_INLINE Halves load_halves(const uint16_t* p, int64_t n) {
  uint16_t half[8] = {};
  copy_few<8>(half, p, n);
  return load_halves(half, AllLanes<float>{});
}

HHD_INLINE void store_halves(uint16_t* p, AllLanes<float>, Halves h) {
  std::memcpy(p, &h, sizeof h);
}

HHD_INLINE void store_halves(uint16_t* p, int64_t n, Halves h) {
  uint16_t half[8];
  std::memcpy(half, &h, sizeof h);
  copy_few<8>(p, half, n);
}

HHD_INLINE Vec<float> unpack(Halves h, Packed kind) {
  uint16_t half[8];
  std::memcpy(half, &h, sizeof h);
  return kind == Packed::kFloat16 ? load8_float16(half) : load8_bfloat16(half);
}

HHD_INLINE Halves pack(Vec<float> v, Packed kind) {
  uint16_t half[8];
  kind == Packed::kFloat16 ? store8_float16(half, v) : store8_bfloat16(half, v);
  return load_halves(half, AllLanes<float>{});
}
#endif

// Reads the maps of a unit as planes.
template <class A>
class Reader {
 public:
  explicit Reader(const View& v)
      : v_(v),
        grouped_(joints_are_innermost(v) && sizeof(A) == 4 && v.dtype != DType::kFloat64),
        in_place_(v.dtype == dtype_of<A>() && is_one_run(v)),
        packed_(packed_as<A>(v)),
        planes_(in_place_ ? 0 : plane_size<A>(v) * (grouped_ ? joints_per_unit(v) : 1)) {}

  // As `plane`, for a map that is scanned before anything else reads it: half precision is
  // converted by the scan, which has it in registers anyway.
  HHD_INLINE Plane<A> plane_to_scan(const Unit& unit, int64_t j) {
    if (packed_ == Packed::kNot) return plane(unit, j);
    const void* rows = address(v_, offset_of(v_, unit.b, unit.k + j));
    return {planes_.get(), v_.size[3], v_.size[2], v_.size[3], static_cast<const uint16_t*>(rows),
            packed_};
  }

  // The plane of joint `unit.k + j`. Joints of a unit are asked for in order.
  HHD_INLINE Plane<A> plane(const Unit& unit, int64_t j) {
    const int64_t height = v_.size[2], width = v_.size[3];
    if (in_place_) {
      A* data = static_cast<A*>(mutable_address(v_, offset_of(v_, unit.b, unit.k + j)));
      return {data, width, height, width};
    }
    A* data = planes_.get() + (grouped_ ? j * plane_size<A>(v_) : 0);
    if (!grouped_ || unit.count < kBlock) {
      load_one(unit.b, unit.k + j, data);
    } else if (j == 0) {
      if constexpr (sizeof(A) == 4) load_joints(v_, unit, data, plane_size<A>(v_));
    }
    return {data, width, height, width};
  }

  // Where the planes of a unit's joints are, if they are there together.
  HHD_INLINE A* planes_of_unit() const { return grouped_ ? planes_.get() : nullptr; }

 private:
  void load_one(int64_t b, int64_t k, A* data) {
    const int64_t step = v_.stride[3];
    for (int64_t i = 0; i < v_.size[2]; ++i) {
      A* row = data + i * v_.size[3];
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
    }
  }

  const View& v_;
  const bool grouped_;
  const bool in_place_;
  const Packed packed_;
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
  // Rows go to `data` in float or double. There, or in half precision, they are where they belong
  // (`converts` false), or each is then stored from there.
  MapWriter(const View& view, int64_t offset, A* data, int64_t stride, bool converts)
      : view_(&view),
        offset_(offset),
        data_(data),
        packed_(packed_as<A>(view)),
        stride_(stride),
        converts_(converts) {
    if (packed_ == Packed::kNot) return;
    packed_data_ = static_cast<uint16_t*>(mutable_address(view, offset));
    stride_ = view.stride[2];
  }

  // Where the map's rows will be stored, if each is a run of memory.
  HHD_INLINE Destination destination() const {
    if (view_->stride[3] != 1) return {};
    const int64_t bytes = element_size(view_->dtype);
    return {static_cast<const char*>(address(*view_, offset_)), view_->stride[2] * bytes, bytes};
  }

  // Stores row i: value(x, n) is the vector at column x, of which n lanes are stored.
  template <class Length, class Value>
  HHD_INLINE void write_row(int64_t i, Length width, const Value& value) const {
    if constexpr (kPacksHalf<A>) {
      if (packed_ == Packed::kBFloat16) return write_packed<Packed::kBFloat16>(i, width, value);
      if (packed_ == Packed::kFloat16) return write_packed<Packed::kFloat16>(i, width, value);
    }
    A* out = data_ + i * stride_;
    for_row<A>(width, [&](int64_t x, auto n) { store_part(out + x, n, value(x, n)); });
    if (converts_) convert_row(i);
  }

 private:
  template <Packed kPacked, class Length, class Value>
  HHD_INLINE void write_packed(int64_t i, Length width, const Value& value) const {
    uint16_t* out = packed_data_ + i * stride_;
    for_row<A>(width,
               [&](int64_t x, auto n) { store_halves(out + x, n, pack(value(x, n), kPacked)); });
  }

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
  Packed packed_;
  uint16_t* packed_data_ = nullptr;
  int64_t stride_;
  bool converts_;
};

// The writers of the maps of a unit. `planes`, where there are some, are a reader's of maps like
// these: each is done with when its joint's rows are written.
template <class A>
class Writer {
 public:
  explicit Writer(const View& v, A* planes = nullptr)
      : v_(v),
        grouped_(joints_are_innermost(v) && sizeof(A) == 4 && v.dtype != DType::kFloat64),
        in_place_(v.dtype == dtype_of<A>() && v.stride[3] == 1),
        scratch_(in_place_           ? 0
                 : !grouped_         ? v.size[3]
                 : planes == nullptr ? plane_size<A>(v) * joints_per_unit(v)
                                     : 0),
        planes_(grouped_ && planes != nullptr ? planes : scratch_.get()) {}

  // For joint `unit.k + j`, whose rows come next.
  HHD_INLINE MapWriter<A> map(const Unit& unit, int64_t j) const {
    const int64_t offset = offset_of(v_, unit.b, unit.k + j);
    if (in_place_) {
      return {v_, offset, static_cast<A*>(mutable_address(v_, offset)), v_.stride[2], false};
    }
    if (!collects(unit)) return {v_, offset, planes_, 0, true};
    return {v_, offset, planes_ + j * plane_size<A>(v_), v_.size[3], false};
  }

  HHD_INLINE void fill_map(const Unit& unit, int64_t j, A value) const {
    const MapWriter<A> writer = map(unit, j);
    for (int64_t i = 0; i < v_.size[2]; ++i) {
      writer.write_row(i, v_.size[3], [value](int64_t, auto) { return splat(value); });
    }
  }

  HHD_INLINE void finish_unit(const Unit& unit) const {
    if (in_place_ || !collects(unit)) return;
    if constexpr (sizeof(A) == 4) store_joints(v_, unit, planes_, plane_size<A>(v_));
  }

 private:
  HHD_INLINE bool collects(const Unit& unit) const { return grouped_ && unit.count >= kBlock; }

  const View& v_;
  const bool grouped_;
  const bool in_place_;
  Buffer<A> scratch_;
  A* const planes_;
};

}  // namespace hhd::HHD_ISA
