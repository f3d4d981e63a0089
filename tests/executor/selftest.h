// The executor's own test kernels; the numbers are library.py's.
#pragma once

#include <cstdint>

namespace hhd::cuda {

enum class Selftest : int32_t { kSums, kTurned, kStrided, kWrong };

enum class Wrong : int32_t {
  kEarlyReturn,
  kDivergentBarriers,
  kAbsentLanes,
  kForeignLane,
  kOtherMask,
  kCopyNotAwaited,
  kWriteRace,
  kReadRace,
  kBlocksRace,
  kPastTheLoad,
  kInputWritten,
  kMisaligned,
  kBeyondShared,
  kUninitialised,
};

// `n`: the length of a block's slice, the step, or what to do wrong.
void selftest(Selftest which, const float* x, float* out, int64_t blocks, int threads, int64_t n);

}  // namespace hhd::cuda
