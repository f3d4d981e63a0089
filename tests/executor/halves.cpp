// The core's conversions, which have tests of their own.
#define HHD_ISA executor_core
#define HHD_VECTOR_BYTES 16
#include "../../csrc/core/elements.h"
#include "executor.h"

namespace hhd::executor {

float from_float16(uint16_t h) { return executor_core::from_float16(h); }
uint16_t to_float16(float x) { return executor_core::to_float16(x); }
uint16_t to_bfloat16(float x) { return executor_core::to_bfloat16(x); }

}  // namespace hhd::executor
