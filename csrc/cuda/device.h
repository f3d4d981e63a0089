// The one header through which device code touches the machine: threads, barriers, shuffles,
// shared memory, every global load and store, launches. Under nvcc it is CUDA; with HHD_EXECUTOR
// it is tests/executor, which runs the same sources on the CPU and watches them.
#pragma once

#include <math.h>

#include <cstdint>
#include <cstring>

#include "launch.h"

#if defined(HHD_EXECUTOR)

#include "executor/device_side.h"

#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_pipeline_primitives.h>
#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

#define HHD_DEVICE __device__ __forceinline__
#define HHD_HOST_DEVICE __host__ __device__ __forceinline__
#define HHD_KERNEL __global__
// What the compiler may count on: at most so many threads a block, at least so many blocks
// resident.
#define HHD_LAUNCH_BOUNDS(threads, blocks) __launch_bounds__(threads, blocks)

namespace hhd::cuda {

inline constexpr unsigned kFullWarp = 0xffffffffu;
inline constexpr int kWarp = 32;

HHD_DEVICE int thread_index() { return threadIdx.x; }
HHD_DEVICE int block_threads() { return blockDim.x; }
HHD_DEVICE int64_t block_index() { return blockIdx.x; }
HHD_DEVICE int64_t grid_blocks() { return gridDim.x; }

// All threads of the block meet here; what they wrote before is seen by all after.
HHD_DEVICE void barrier() { __syncthreads(); }
// The same for the 32 threads of a warp.
HHD_DEVICE void warp_barrier() { __syncwarp(); }

namespace detail {

// The unsigned integer that a shuffle or a load moves in place of a T.
template <int kBytes>
struct Word;
template <>
struct Word<4> {
  using Type = unsigned;
};
template <>
struct Word<8> {
  using Type = unsigned long long;
};
template <>
struct Word<16> {
  using Type = uint4;
};
template <class T>
using WordOf = typename Word<sizeof(T)>::Type;

template <class To, class From>
HHD_DEVICE To bits_as(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "bits_as changes the type, not the size");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}

// The words are a value of their own: a memcpy from memory would not know how that is aligned, and
// read bytes.
template <class T>
HHD_DEVICE T load_16(const T* p) {
  const uint4 words = *reinterpret_cast<const uint4*>(p);
  return bits_as<T>(words);
}

}  // namespace detail

// The value of lane `lane`, or of the lane whose number differs in the bits `lanes`. `mask` names
// the lanes that take part: all of them call this together, with this mask. No memory is ordered.
template <class T>
HHD_DEVICE T shuffle(unsigned mask, T v, int lane) {
  using Word = detail::WordOf<T>;
  return detail::bits_as<T>(__shfl_sync(mask, detail::bits_as<Word>(v), lane));
}
template <class T>
HHD_DEVICE T shuffle_xor(unsigned mask, T v, int lanes) {
  using Word = detail::WordOf<T>;
  return detail::bits_as<T>(__shfl_xor_sync(mask, detail::bits_as<Word>(v), lanes));
}

// The block's dynamic shared memory: garbage at first.
template <class T>
HHD_DEVICE T* shared_memory() {
  static_assert(alignof(T) <= 16, "shared memory is 16-byte aligned");
  extern __shared__ uint4 hhd_shared_memory[];
  return reinterpret_cast<T*>(hhd_shared_memory);
}

// Starts a copy of 16 bytes from global to shared memory, both 16-byte aligned, that passes no
// register, so that a block has its whole map under way at once. It is there for the thread itself
// after `await_copies`, for the others after the next barrier.
template <class T>
HHD_DEVICE void copy_async(T* shared, const T* global) {
  __pipeline_memcpy_async(shared, global, 16);
}
HHD_DEVICE void await_copies() {
  __pipeline_commit();
  __pipeline_wait_prior(0);
}

// Global memory, 1, 2, 4, 8 or 16 bytes at an address aligned to as much.
template <class T>
HHD_DEVICE T load(const T* p) {
  static_assert(sizeof(T) <= 16 && (sizeof(T) & (sizeof(T) - 1)) == 0, "one access");
  if constexpr (sizeof(T) == 16) {
    return detail::load_16(p);
  } else {
    return *p;
  }
}
template <class T>
HHD_DEVICE void store(T* p, T v) {
  static_assert(sizeof(T) <= 16 && (sizeof(T) & (sizeof(T) - 1)) == 0, "one access");
  if constexpr (sizeof(T) == 16) {
    *reinterpret_cast<uint4*>(p) = detail::bits_as<uint4>(v);
  } else {
    *p = v;
  }
}

// Adds one to a counter in global memory and returns what it held. Whoever learns from it that
// others have counted, and then calls see_counted(), sees what they wrote before.
HHD_DEVICE void see_counted() { asm volatile("fence.acq_rel.gpu;" ::: "memory"); }
HHD_DEVICE unsigned count_up(unsigned* counter) {
  see_counted();  // the same fence releases
  return atomicAdd(counter, 1u);
}

// Sixteen bytes of shared memory, aligned to as much, in one instruction.
template <class T>
HHD_DEVICE T load_shared(const T* p) {
  return detail::load_16(p);
}
template <class T>
HHD_DEVICE void store_shared(T* p, const T& v) {
  const uint4 words = detail::bits_as<uint4>(v);
  const auto at = static_cast<unsigned>(__cvta_generic_to_shared(p));
  // The compiler would store word by word.
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(at), "r"(words.x), "r"(words.y),
               "r"(words.z), "r"(words.w)
               : "memory");
}

// The same number or place, as far as the compiler knows another one: what follows from it is
// computed where it is needed instead of before, where it would have to be kept.
HHD_DEVICE int anew(int n) {
  asm volatile("" : "+r"(n));
  return n;
}
template <class T>
HHD_DEVICE T* anew(T* p) {
  asm volatile("" : "+l"(p));
  return p;
}

// 2^x, 0 where that is below the normal numbers, within 2 ulp (PTX ISA, ex2). This is exp2's own
// instruction, without the three that keep subnormal results.
HHD_DEVICE float exp2_or_zero(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

HHD_DEVICE float from_float16(uint16_t h) { return __half2float(__ushort_as_half(h)); }
HHD_DEVICE uint16_t to_float16(float x) { return __half_as_ushort(__float2half_rn(x)); }
HHD_DEVICE uint16_t to_bfloat16(float x) { return __bfloat16_as_ushort(__float2bfloat16_rn(x)); }
// Two at a time, the first in the low half: one instruction.
HHD_DEVICE uint32_t to_float16x2(float low, float high) {
  return detail::bits_as<uint32_t>(__floats2half2_rn(low, high));
}
HHD_DEVICE uint32_t to_bfloat16x2(float low, float high) {
  return detail::bits_as<uint32_t>(__floats2bfloat162_rn(low, high));
}

namespace detail {

inline void check(cudaError_t error, const void* kernel) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // a launch that failed is not to be reported again by whoever asks next
  const char* name = "a kernel";
#if CUDART_VERSION >= 12030
  if (cudaFuncGetName(&name, kernel) != cudaSuccess) name = "a kernel";
#endif
  throw std::runtime_error(std::string("launch of ") + name + ": " + cudaGetErrorString(error));
}

}  // namespace detail

// The most dynamic shared memory that a block may have on the current device, in bytes.
inline int64_t shared_memory_limit() {
  int device = 0, bytes = 0;
  detail::check(cudaGetDevice(&device), nullptr);
  // Answered by the runtime without asking the driver.
  detail::check(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device),
                nullptr);
  return bytes;
}

// Starts `blocks` blocks of `threads` threads on the stream; no blocks, no launch. Throws
// std::runtime_error where the launch fails; what fails later shows at the next synchronisation.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, int threads, int64_t shared_bytes,
            Stream stream, const Arguments&... arguments) {
  if (blocks == 0) return;
  const void* entry = reinterpret_cast<const void*>(kernel);
  if (blocks > INT32_MAX) detail::check(cudaErrorInvalidConfiguration, entry);
  constexpr int64_t kWithoutAsking = 48 << 10;
  if (shared_bytes > kWithoutAsking) {
    // Always the same value: another thread's smaller launch must not lower it under this one.
    detail::check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                       static_cast<int>(shared_memory_limit())),
                  entry);
  }
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
  config.stream = static_cast<cudaStream_t>(stream);
  detail::check(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), entry);
}

}  // namespace hhd::cuda

#endif

namespace hhd::cuda {

struct alignas(16) Vector16 {
  uint32_t words[4];
};

HHD_DEVICE uint32_t bits_of(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}
HHD_DEVICE float float_of(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}
HHD_DEVICE float from_bfloat16(uint16_t h) { return float_of(static_cast<uint32_t>(h) << 16); }

// The accurate functions: CUDA's exp and log are within 1 ulp, exp2 within 2, the rest exact.
HHD_DEVICE float exp(float x) { return ::expf(x); }
HHD_DEVICE double exp(double x) { return ::exp(x); }
HHD_DEVICE float exp2(float x) { return ::exp2f(x); }
HHD_DEVICE double exp2(double x) { return ::exp2(x); }
HHD_DEVICE double exp2_or_zero(double x) { return ::exp2(x); }
HHD_DEVICE float log(float x) { return ::logf(x); }
HHD_DEVICE double log(double x) { return ::log(x); }
HHD_DEVICE float log2(float x) { return ::log2f(x); }
HHD_DEVICE double log2(double x) { return ::log2(x); }
HHD_DEVICE float sqrt(float x) { return ::sqrtf(x); }
HHD_DEVICE double sqrt(double x) { return ::sqrt(x); }
HHD_DEVICE float floor(float x) { return ::floorf(x); }
HHD_DEVICE double floor(double x) { return ::floor(x); }
HHD_DEVICE float trunc(float x) { return ::truncf(x); }
HHD_DEVICE double trunc(double x) { return ::trunc(x); }
HHD_DEVICE float abs(float x) { return ::fabsf(x); }
HHD_DEVICE double abs(double x) { return ::fabs(x); }
HHD_DEVICE float fma(float x, float y, float z) { return ::fmaf(x, y, z); }
HHD_DEVICE double fma(double x, double y, double z) { return ::fma(x, y, z); }

}  // namespace hhd::cuda
