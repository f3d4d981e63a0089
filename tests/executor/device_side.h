// csrc/cuda/device.h on the CPU: the same functions, on the executor.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "executor/executor.h"

#define HHD_DEVICE inline
#define HHD_HOST_DEVICE inline
#define HHD_KERNEL
#define HHD_LAUNCH_BOUNDS(threads, blocks)

// Where in the kernels the caller stands: default arguments are evaluated there.
#define HHD_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace hhd::cuda {

inline constexpr unsigned kFullWarp = 0xffffffffu;
inline constexpr int kWarp = executor::kWarp;

HHD_DEVICE int thread_index() { return executor::thread_index(); }
HHD_DEVICE int block_threads() { return executor::block_threads(); }
HHD_DEVICE int64_t block_index() { return executor::block_index(); }
HHD_DEVICE int64_t grid_blocks() { return executor::grid_blocks(); }

HHD_DEVICE void barrier(HHD_SITE) { executor::barrier({file, line}); }

HHD_DEVICE void warp_barrier(HHD_SITE) { executor::warp_barrier({file, line}); }

template <class T>
HHD_DEVICE T shuffle(unsigned mask, T v, int lane, HHD_SITE) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
  static_assert(std::is_trivially_copyable_v<T>, "a shuffle moves bytes");
  executor::exchange(mask, lane, &v, sizeof v, {file, line});
  return v;
}

template <class T>
HHD_DEVICE T shuffle_xor(unsigned mask, T v, int lanes, HHD_SITE) {
  return shuffle(mask, v, (thread_index() % kWarp) ^ lanes, file, line);
}

template <class T>
HHD_DEVICE T* shared_memory() {
  static_assert(alignof(T) <= 16, "shared memory is 16-byte aligned");
  return static_cast<T*>(executor::shared_memory());
}

template <class T>
HHD_EXECUTOR_UNWATCHED T load(const T* p, HHD_SITE) {
  static_assert(sizeof(T) <= 16 && (sizeof(T) & (sizeof(T) - 1)) == 0, "one access");
  return *static_cast<const T*>(executor::reading(p, sizeof(T), {file, line}));
}

template <class T>
HHD_EXECUTOR_UNWATCHED void store(T* p, T v, HHD_SITE) {
  static_assert(sizeof(T) <= 16 && (sizeof(T) & (sizeof(T) - 1)) == 0, "one access");
  if (void* to = executor::writing(p, sizeof(T), {file, line})) *static_cast<T*>(to) = v;
}

HHD_DEVICE unsigned count_up(unsigned* counter, HHD_SITE) {
  return executor::count_up(counter, {file, line});
}
HHD_DEVICE void see_counted(HHD_SITE) { executor::see_counted({file, line}); }

template <class T>
HHD_DEVICE T load_shared(const T* p) {
  return *p;
}
template <class T>
HHD_DEVICE void store_shared(T* p, const T& v) {
  *p = v;
}

template <class T>
HHD_DEVICE void copy_async(T* shared, const T* global, HHD_SITE) {
  executor::copy_async(shared, global, 16, {file, line});
}
HHD_DEVICE void await_copies() { executor::await_copies(); }

template <class T>
HHD_DEVICE T anew(T n) {
  return n;
}

// As far off as the PTX ISA lets the instruction be: 2 ulp, to a side that x chooses; 2^0 is exact.
HHD_DEVICE float exp2_or_zero(float x) {
  const float exact = exp2f(x);
  if (x == 0 || std::isinf(exact)) return exact;
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const float side = bits * 0x9e3779b9u >> 31 ? INFINITY : 0.0f;
  const float y = std::nextafter(std::nextafter(exact, side), side);
  return y < 0x1p-126f ? 0.0f : y;
}

HHD_DEVICE float from_float16(uint16_t h) { return executor::from_float16(h); }
HHD_DEVICE uint16_t to_float16(float x) { return executor::to_float16(x); }
HHD_DEVICE uint16_t to_bfloat16(float x) { return executor::to_bfloat16(x); }
HHD_DEVICE uint32_t to_float16x2(float low, float high) {
  return to_float16(low) | static_cast<uint32_t>(to_float16(high)) << 16;
}
HHD_DEVICE uint32_t to_bfloat16x2(float low, float high) {
  return to_bfloat16(low) | static_cast<uint32_t>(to_bfloat16(high)) << 16;
}

inline int64_t shared_memory_limit() { return executor::settings().shared_memory_limit; }

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, int64_t shared_bytes,
            Stream, const Arguments&... arguments) {
  executor::run(reinterpret_cast<const void*>(kernel), blocks, threads, shared_bytes,
                [&] { kernel(static_cast<Parameters>(arguments)...); });
}

}  // namespace hhd::cuda

#undef HHD_SITE
