#include <tuple>

#include "tensors.h"

namespace hhd::ops {

template <class Device>
std::tuple<Tensor, Tensor, Tensor> teacher_targets(const Tensor& heatmaps, int64_t window_h,
                                                   int64_t window_w, int64_t normalize,
                                                   int64_t sampling, int64_t border, double eps,
                                                   double floor) {
  const Device device("teacher_targets", heatmaps);
  const View maps = view_of_maps(heatmaps, "heatmaps");
  const TargetsArgs args{window_of(window_h, window_w, sampling, border),
                         static_cast<Normalize>(normalize), eps, floor};
  const int64_t b = maps.size[0], k = maps.size[1];
  const ScalarType dtype = accumulation_type(heatmaps);
  Tensor centers = empty_of(heatmaps, {b, k, 2}, dtype);
  Tensor windows = empty_of(heatmaps, {b, k, window_h, window_w}, dtype);
  Tensor confidence = empty_of(heatmaps, {b, k}, dtype);
  device.teacher_targets(maps, view_of(centers, "centers", {b, k, 2}),
                         view_of_maps(windows, "windows"),
                         view_of(confidence, "confidence", {b, k}), args);
  return {centers, windows, confidence};
}

template <class Device>
static void implement(Library& m) {
  m.impl("teacher_targets", TORCH_BOX(&teacher_targets<Device>));
}

}  // namespace hhd::ops

HHD_IMPLEMENT
