// Chooses the instruction set, once, when the first kernel is asked for.
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "types.h"

namespace hhd {
namespace {

struct Candidate {
  const char* name;
  bool runs_here;
  const Kernels& (*kernels)();
};

const Kernels& choose() {
#if defined(HHD_HAS_X86_KERNELS)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512vl");
  const Candidate best_first[] = {{"avx512", avx512, kernels_avx512},
                                  {"avx2", avx2, kernels_avx2},
                                  {"portable", true, kernels_portable}};
#else
  const Candidate best_first[] = {{"portable", true, kernels_portable}};
#endif
  const char* wanted = std::getenv("HHD_CPU_CAPABILITY");
  if (wanted == nullptr || *wanted == '\0') {
    for (const Candidate& c : best_first) {
      if (c.runs_here) return c.kernels();
    }
  }
  std::string available;
  for (const Candidate& c : best_first) {
    if (!c.runs_here) continue;
    if (wanted == std::string(c.name)) return c.kernels();
    available += available.empty() ? c.name : std::string(", ") + c.name;
  }
  throw std::runtime_error("HHD_CPU_CAPABILITY is '" + std::string(wanted) +
                           "'; this machine and build take: " + available);
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace hhd
