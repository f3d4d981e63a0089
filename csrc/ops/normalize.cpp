#include "tensors.h"

namespace hhd::ops {

template <class Device>
Tensor normalize(const Tensor& x, int64_t kind, double beta, double eps) {
  const Device device("normalize", x);
  Tensor out = device.empty_like(x);
  device.normalize(view_of_maps(x, "x"), view_of_maps(out, "out"), static_cast<Normalize>(kind),
                   beta, eps);
  return out;
}

template <class Device>
Tensor normalize_backward(const Tensor& grad, const Tensor& x, int64_t kind, double beta,
                          double eps) {
  const Device device("normalize_backward", x, grad);
  Tensor out = device.empty_like(x);
  const View in = view_of_maps(x, "x");
  const View upstream = view_of(grad, "grad", {in.size[0], in.size[1], in.size[2], in.size[3]});
  device.normalize_backward(upstream, in, view_of_maps(out, "out"), static_cast<Normalize>(kind),
                            beta, eps);
  return out;
}

template <class Device>
static void implement(Library& m) {
  m.impl("normalize", TORCH_BOX(&normalize<Device>));
  m.impl("normalize_backward", TORCH_BOX(&normalize_backward<Device>));
}

}  // namespace hhd::ops

HHD_IMPLEMENT
