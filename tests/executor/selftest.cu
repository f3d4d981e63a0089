// Small kernels whose answers, bugs and traffic are known: they test the executor.
#include "selftest.h"

#include "../../csrc/cuda/device.h"

namespace hhd::cuda {
namespace {

// Each block's sum of its slice of x, by shuffles within warps and shared memory between them.
HHD_KERNEL void sums(const float* x, float* out, int64_t n) {
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
  if (thread_index() == 0) store(out + block_index(), total);
}

// Each warp turns its 32 values round, through shared memory and an asynchronous copy.
HHD_KERNEL void turned(const float* x, float* out, int64_t) {
  const int lane = thread_index() % kWarp, first = thread_index() - lane;
  float* mine = shared_memory<float>() + first;
  if (lane < kWarp / 4) copy_async(mine + 4 * lane, x + first + 4 * lane);
  await_copies();
  warp_barrier();
  store(out + thread_index(), mine[kWarp - 1 - lane]);
}

// Every `step`-th value.
HHD_KERNEL void strided(const float* x, float* out, int64_t step) {
  const int64_t i = block_index() * block_threads() + thread_index();
  store(out + i, load(x + i * step));
}

// What a kernel must not do, one thing at a time.
HHD_KERNEL void wrong(const float* x, float* out, int64_t what) {
  const int thread = thread_index(), lane = thread % kWarp;
  float* shared = shared_memory<float>();
  switch (static_cast<Wrong>(what)) {
    case Wrong::kEarlyReturn:
      if (thread == 3) return;
      barrier();
      break;
    case Wrong::kDivergentBarriers:
      if (lane < 7) {
        barrier();
      } else {
        barrier();
      }
      break;
    case Wrong::kAbsentLanes:
      if (lane < 16) store(out + thread, shuffle(kFullWarp, 1.0f, 0));
      break;
    case Wrong::kForeignLane:
      if (lane < 16) store(out + thread, shuffle(0xffffu, 1.0f, 16));
      break;
    case Wrong::kOtherMask:
      store(out + thread, shuffle(lane < 16 ? 0xffffu : kFullWarp, 1.0f, lane));
      break;
    case Wrong::kCopyNotAwaited:
      if (thread == 0) copy_async(shared, x);
      break;
    case Wrong::kWriteRace:
      shared[0] = static_cast<float>(thread);
      break;
    case Wrong::kReadRace:
      if (thread == 0) shared[0] = 1;
      warp_barrier();  // orders the first warp only
      if (thread != 0) store(out + thread, shared[0]);
      break;
    case Wrong::kBlocksRace:
      store(out, 1.0f);
      break;
    case Wrong::kPastTheLoad:
      store(out + thread, x[thread]);
      break;
    case Wrong::kInputWritten:
      store(const_cast<float*>(x), 1.0f);
      break;
    case Wrong::kMisaligned:
      load(reinterpret_cast<const double*>(x + 1));
      break;
    case Wrong::kBeyondShared:
      shared[block_threads() + thread] = 1;
      break;
    case Wrong::kUninitialised:
      store(out + thread, shared[thread]);
      break;
  }
}

}  // namespace

void selftest(Selftest which, const float* x, float* out, int64_t blocks, int threads, int64_t n) {
  const auto kernel = which == Selftest::kSums      ? sums
                      : which == Selftest::kTurned  ? turned
                      : which == Selftest::kStrided ? strided
                                                    : wrong;
  launch(kernel, blocks, threads, threads * sizeof(float), nullptr, x, out, n);
}

}  // namespace hhd::cuda
