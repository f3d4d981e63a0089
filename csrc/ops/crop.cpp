#include "tensors.h"

namespace hhd::ops {

template <class Device>
Tensor crop(const Tensor& maps, const Tensor& centers, int64_t window_h, int64_t window_w,
            int64_t sampling, int64_t border) {
  const Device device("crop", maps, centers);
  const View in = view_of_maps(maps, "maps");
  const View at = view_of(centers, "centers", {in.size[0], in.size[1], 2});
  const Window window = window_of(window_h, window_w, sampling, border);
  Tensor windows = empty_of(maps, {in.size[0], in.size[1], window_h, window_w}, maps.scalar_type());
  device.crop(in, at, view_of_maps(windows, "windows"), window);
  return windows;
}

template <class Device>
Tensor crop_backward(const Tensor& grad, const Tensor& maps, const Tensor& centers,
                     int64_t sampling, int64_t border) {
  const Device device("crop_backward", maps, grad, centers);
  const View in = view_of_maps(maps, "maps");
  const View upstream = view_of(grad, "grad", {in.size[0], in.size[1], -1, -1});
  const View at = view_of(centers, "centers", {in.size[0], in.size[1], 2});
  const Window window = window_of(upstream.size[2], upstream.size[3], sampling, border);
  Tensor out = device.empty_like(maps);
  device.crop_backward(upstream, at, view_of_maps(out, "out"), window);
  return out;
}

template <class Device>
static void implement(Library& m) {
  m.impl("crop", TORCH_BOX(&crop<Device>));
  m.impl("crop_backward", TORCH_BOX(&crop_backward<Device>));
}

}  // namespace hhd::ops

HHD_IMPLEMENT
