// DARK's sub-pixel step for the torch ops; the one implementation is decode.h's.
#pragma once

#include <cstdint>

namespace hhd {

struct Centre {
  double x;
  double y;
};

// Needs a map whose maximum is positive and not NaN. `row_stride` counts elements.
Centre dark_centre(const float* map, int64_t row_stride, int64_t height, int64_t width,
                   int64_t blur_kernel);
Centre dark_centre(const double* map, int64_t row_stride, int64_t height, int64_t width,
                   int64_t blur_kernel);

}  // namespace hhd
