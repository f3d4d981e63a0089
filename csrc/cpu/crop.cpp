#include "tensors.h"

namespace hhd::cpu {

Tensor crop(const Tensor& maps, const Tensor& centers, int64_t window_h, int64_t window_w,
            int64_t sampling, int64_t border) {
  const View in = view_of_maps(maps, "maps");
  const View at = view_of(centers, "centers", {in.size[0], in.size[1], 2});
  STD_TORCH_CHECK(window_h >= 1 && window_w >= 1, "window must be at least 1 x 1, got ", window_h,
                  " x ", window_w);
  Tensor windows = empty_of(maps, {in.size[0], in.size[1], window_h, window_w}, maps.scalar_type());
  const View out = view_of_maps(windows, "windows");
  const Window window{window_h, window_w, static_cast<Sampling>(sampling),
                      static_cast<Border>(border)};
  torch::stable::parallel_for(
      0, in.size[0] * in.size[1], 1 + 4096 / (window_h * window_w),
      [&](int64_t begin, int64_t end) { kernels().ops(in).crop(in, at, out, window, begin, end); });
  return windows;
}

Tensor crop_backward(const Tensor& grad, const Tensor& maps, const Tensor& centers,
                     int64_t sampling, int64_t border) {
  const View in = view_of_maps(maps, "maps");
  const View upstream = view_of(grad, "grad", {in.size[0], in.size[1], -1, -1});
  const View at = view_of(centers, "centers", {in.size[0], in.size[1], 2});
  Tensor out = torch::stable::empty_like(maps);
  const View result = view_of_maps(out, "out");
  const Window window{upstream.size[2], upstream.size[3], static_cast<Sampling>(sampling),
                      static_cast<Border>(border)};
  for_units(result, [&](int64_t begin, int64_t end) {
    kernels().ops(result).crop_backward(upstream, at, result, window, begin, end);
  });
  return out;
}

}  // namespace hhd::cpu

STABLE_TORCH_LIBRARY_IMPL(hhd, CPU, m) {
  m.impl("crop", TORCH_BOX(&hhd::cpu::crop));
  m.impl("crop_backward", TORCH_BOX(&hhd::cpu::crop_backward));
}
