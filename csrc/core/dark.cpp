#include "dark.h"

#include "decode.h"

namespace hhd {
namespace {

template <class A>
Centre centre_of(const A* map, int64_t row_stride, int64_t height, int64_t width,
                 int64_t blur_kernel) {
  constexpr int64_t size = sizeof(A);
  const host::MapView<A> view{reinterpret_cast<const char*>(map), height, width, row_stride * size,
                              size};
  const host::Decoded joint = host::DecodeDark(
      view, host::GaussianKernel(static_cast<int>(blur_kernel)), host::Convention::kMmpose);
  return {joint.x, joint.y};
}

}  // namespace

Centre dark_centre(const float* map, int64_t row_stride, int64_t height, int64_t width,
                   int64_t blur_kernel) {
  return centre_of(map, row_stride, height, width, blur_kernel);
}

Centre dark_centre(const double* map, int64_t row_stride, int64_t height, int64_t width,
                   int64_t blur_kernel) {
  return centre_of(map, row_stride, height, width, blur_kernel);
}

}  // namespace hhd
