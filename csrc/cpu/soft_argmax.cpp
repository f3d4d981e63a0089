#include <tuple>

#include "tensors.h"

namespace hhd::cpu {

std::tuple<Tensor, Tensor> soft_argmax(const Tensor& logits, double beta, int64_t window) {
  const View maps = view_of_maps(logits, "logits");
  const int64_t b = maps.size[0], k = maps.size[1];
  const ScalarType dtype = accumulation_type(logits);
  Tensor coords = empty_of(logits, {b, k, 2}, dtype);
  Tensor confidence = empty_of(logits, {b, k}, dtype);
  const View xy = view_of(coords, "coords", {b, k, 2});
  const View mass = view_of(confidence, "confidence", {b, k});
  const SoftArgmaxArgs args{beta, window};
  for_units(maps, [&](int64_t begin, int64_t end) {
    kernels().ops(maps).soft_argmax(maps, xy, mass, args, begin, end);
  });
  return {coords, confidence};
}

Tensor soft_argmax_backward(const Tensor& grad_coords, const Tensor& logits, double beta,
                            int64_t window) {
  const View maps = view_of_maps(logits, "logits");
  const View upstream = view_of(grad_coords, "grad_coords", {maps.size[0], maps.size[1], 2});
  Tensor grad = torch::stable::empty_like(logits);
  const View out = view_of_maps(grad, "grad");
  const SoftArgmaxArgs args{beta, window};
  for_units(maps, [&](int64_t begin, int64_t end) {
    kernels().ops(maps).soft_argmax_backward(upstream, maps, out, args, begin, end);
  });
  return grad;
}

}  // namespace hhd::cpu

STABLE_TORCH_LIBRARY_IMPL(hhd, CPU, m) {
  m.impl("soft_argmax", TORCH_BOX(&hhd::cpu::soft_argmax));
  m.impl("soft_argmax_backward", TORCH_BOX(&hhd::cpu::soft_argmax_backward));
}
