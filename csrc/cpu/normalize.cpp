#include "tensors.h"

namespace hhd::cpu {

Tensor normalize(const Tensor& x, int64_t kind, double beta, double eps) {
  Tensor out = torch::stable::empty_like(x);
  const View in = view_of_maps(x, "x"), result = view_of_maps(out, "out");
  for_units(in, [&](int64_t begin, int64_t end) {
    kernels().ops(in).normalize(in, result, static_cast<Normalize>(kind), beta, eps, begin, end);
  });
  return out;
}

Tensor normalize_backward(const Tensor& grad, const Tensor& x, int64_t kind, double beta,
                          double eps) {
  Tensor out = torch::stable::empty_like(x);
  const View in = view_of_maps(x, "x"), result = view_of_maps(out, "out");
  const View upstream = view_of(grad, "grad", {in.size[0], in.size[1], in.size[2], in.size[3]});
  for_units(in, [&](int64_t begin, int64_t end) {
    kernels().ops(in).normalize_backward(upstream, in, result, static_cast<Normalize>(kind), beta,
                                         eps, begin, end);
  });
  return out;
}

}  // namespace hhd::cpu

STABLE_TORCH_LIBRARY_IMPL(hhd, CPU, m) {
  m.impl("normalize", TORCH_BOX(&hhd::cpu::normalize));
  m.impl("normalize_backward", TORCH_BOX(&hhd::cpu::normalize_backward));
}
