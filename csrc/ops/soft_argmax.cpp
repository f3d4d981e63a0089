#include <tuple>

#include "tensors.h"

namespace hhd::ops {

template <class Device>
std::tuple<Tensor, Tensor> soft_argmax(const Tensor& logits, double beta, int64_t window) {
  const Device device("soft_argmax", logits);
  const View maps = view_of_maps(logits, "logits");
  const int64_t b = maps.size[0], k = maps.size[1];
  const ScalarType dtype = accumulation_type(logits);
  Tensor coords = empty_of(logits, {b, k, 2}, dtype);
  Tensor confidence = empty_of(logits, {b, k}, dtype);
  device.soft_argmax(maps, view_of(coords, "coords", {b, k, 2}),
                     view_of(confidence, "confidence", {b, k}), {beta, window});
  return {coords, confidence};
}

template <class Device>
Tensor soft_argmax_backward(const Tensor& grad_coords, const Tensor& logits, double beta,
                            int64_t window) {
  const Device device("soft_argmax_backward", logits, grad_coords);
  const View maps = view_of_maps(logits, "logits");
  const View upstream = view_of(grad_coords, "grad_coords", {maps.size[0], maps.size[1], 2});
  Tensor grad = device.empty_like(logits);
  device.soft_argmax_backward(upstream, maps, view_of_maps(grad, "grad"), {beta, window});
  return grad;
}

template <class Device>
static void implement(Library& m) {
  m.impl("soft_argmax", TORCH_BOX(&soft_argmax<Device>));
  m.impl("soft_argmax_backward", TORCH_BOX(&soft_argmax_backward<Device>));
}

}  // namespace hhd::ops

HHD_IMPLEMENT
