// What `python -m hhd_kernels.info` asks of the library, as plain C.
#include <exception>
#include <string>

#include "../core/types.h"

#define HHD_EXPORT extern "C" __attribute__((visibility("default")))

// The instruction set in use, or why there is none.
HHD_EXPORT const char* hhd_cpu_capability() {
  static const std::string answer = [] {
    try {
      return std::string(hhd::kernels().name);
    } catch (const std::exception& e) {
      return std::string("error: ") + e.what();
    }
  }();
  return answer.c_str();
}

#if defined(HHD_HAS_CUDA)
#define HHD_CUDA_INFO                       \
  "\"cuda_compiler\": \"" HHD_CUDA_COMPILER \
  "\", \"cuda_architectures\": \"" HHD_CUDA_ARCHITECTURES "\""
#else
#define HHD_CUDA_INFO "\"cuda_absent\": \"" HHD_CUDA_ABSENT "\""
#endif

// JSON. The CUDA architectures are sm_NN for machine code and compute_NN for PTX, which a driver
// compiles for later GPUs.
HHD_EXPORT const char* hhd_build_info() {
  return "{\"version\": \"" HHD_VERSION "\", \"compiler\": \"" HHD_COMPILER
         "\", \"torch_target\": \"2.10\", \"instruction_sets\": ["
#if defined(HHD_HAS_X86_KERNELS)
         "\"avx512\", \"avx2\", "
#endif
         "\"portable\"], " HHD_CUDA_INFO "}";
}
