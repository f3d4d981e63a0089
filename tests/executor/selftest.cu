// Small kernels whose answers and bugs are known: they test the executor.
#include "../../csrc/cuda/device.h"

namespace hhd::cuda {
namespace {

// Each block's sum of its slice of x, by shuffles within warps and shared memory between them.
HHD_KERNEL void block_sums(const float* x, float* sums, int64_t n) {
  float* parts = shared_memory<float>();
  const int warp = thread_index() / kWarp, warps = block_threads() / kWarp;
  float sum = 0;
  for (int64_t i = thread_index(); i < n; i += block_threads()) {
    sum += load(x + block_index() * n + i);
  }
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) sum += shuffle_xor(kFullWarp, sum, lanes);
  if (thread_index() % kWarp == 0) parts[warp] = sum;
  barrier();
  float total = 0;
  for (int i = 0; i < warps; ++i) total += parts[i];
  if (thread_index() == 0) store(sums + block_index(), total);
}

}  // namespace

void selftest_sums(const float* x, float* sums, int64_t blocks, int64_t n, int threads) {
  launch(block_sums, blocks, threads, threads / kWarp * sizeof(float), nullptr, x, sums, n);
}

}  // namespace hhd::cuda
