// Memory for results as large as the maps.
#include <torch/headeronly/core/ScalarType.h>

#include <cstdint>

#include "torch_device.h"
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace hhd {

using torch::headeronly::ScalarType;

torch::stable::Tensor Cpu::empty_like(const torch::stable::Tensor& maps) const {
  torch::stable::Tensor out = torch::stable::empty_like(maps);
#if defined(MADV_HUGEPAGE)
  // glibc maps what is large anew each time, from 32 MiB on at the latest, and gives the end of its
  // heap back; then every page costs a fault: 8,192 of 4 KiB or 16 of 2 MiB in 32 MiB, where the
  // system has those for the asking.
  const std::uintptr_t large = std::uintptr_t{4} << 20, page = std::uintptr_t{2} << 20;
  const ScalarType dtype = out.scalar_type();
  const std::uintptr_t size = dtype == ScalarType::Double ? 8 : dtype == ScalarType::Float ? 4 : 2;
  const std::uintptr_t bytes = static_cast<std::uintptr_t>(out.numel()) * size;
  if (bytes >= large) {
    const std::uintptr_t address = reinterpret_cast<std::uintptr_t>(out.mutable_data_ptr());
    const std::uintptr_t first = (address + page - 1) / page * page;
    const std::uintptr_t last = (address + bytes) / page * page;
    // Advice: where it is not taken, small pages serve.
    madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
  }
#endif
  return out;
}

}  // namespace hhd
