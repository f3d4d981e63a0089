#include <tuple>

#include "tensors.h"

namespace hhd::cpu {

std::tuple<Tensor, Tensor, Tensor> teacher_targets(const Tensor& heatmaps, int64_t window_h,
                                                   int64_t window_w, int64_t normalize,
                                                   int64_t refine, int64_t blur_kernel,
                                                   int64_t sampling, int64_t border, double eps) {
  const View maps = view_of_maps(heatmaps, "heatmaps");
  STD_TORCH_CHECK(window_h >= 1 && window_w >= 1, "window must be at least 1 x 1, got ", window_h,
                  " x ", window_w);
  STD_TORCH_CHECK(blur_kernel >= 1 && blur_kernel <= 999 && blur_kernel % 2 == 1,
                  "blur_kernel must be odd, from 1 to 999, got ", blur_kernel);
  const int64_t b = maps.size[0], k = maps.size[1];
  const ScalarType dtype = accumulation_type(heatmaps);
  Tensor centers = empty_of(heatmaps, {b, k, 2}, dtype);
  Tensor windows = empty_of(heatmaps, {b, k, window_h, window_w}, dtype);
  Tensor confidence = empty_of(heatmaps, {b, k}, dtype);
  const View xy = view_of(centers, "centers", {b, k, 2});
  const View cells = view_of_maps(windows, "windows");
  const View peak = view_of(confidence, "confidence", {b, k});
  const TargetsArgs args{
      {window_h, window_w, static_cast<Sampling>(sampling), static_cast<Border>(border)},
      static_cast<Normalize>(normalize),
      static_cast<Refine>(refine),
      blur_kernel,
      eps};
  for_units(maps, [&](int64_t begin, int64_t end) {
    kernels().ops(maps).teacher_targets(maps, xy, cells, peak, args, begin, end);
  });
  return {centers, windows, confidence};
}

}  // namespace hhd::cpu

STABLE_TORCH_LIBRARY_IMPL(hhd, CPU, m) {
  m.impl("teacher_targets", TORCH_BOX(&hhd::cpu::teacher_targets));
}
