#include "tensors.h"

namespace hhd::ops {

DType dtype_of(const Tensor& t, const char* name) {
  switch (t.scalar_type()) {
    case ScalarType::Float:
      return DType::kFloat32;
    case ScalarType::Double:
      return DType::kFloat64;
    case ScalarType::Half:
      return DType::kFloat16;
    case ScalarType::BFloat16:
      return DType::kBFloat16;
    default:
      STD_TORCH_CHECK(false, name, " must be of dtype float32, float64, float16 or bfloat16");
  }
}

View view_of(const Tensor& t, const char* name, std::initializer_list<int64_t> sizes) {
  View view{t.numel() > 0 ? const_cast<void*>(t.const_data_ptr()) : nullptr,
            dtype_of(t, name),
            {1, 1, 1, 1},
            {0, 0, 0, 0}};
  STD_TORCH_CHECK(t.dim() == static_cast<int64_t>(sizes.size()), name, " must have ", sizes.size(),
                  " dimensions, got ", t.dim());
  int64_t d = 0;
  for (const int64_t size : sizes) {
    view.size[d] = t.size(d);
    view.stride[d] = t.stride(d);
    STD_TORCH_CHECK(size < 0 || view.size[d] == size, name, " must have size ", size,
                    " in dimension ", d, ", got ", view.size[d]);
    ++d;
  }
  return view;
}

View view_of_maps(const Tensor& t, const char* name) {
  const View view = view_of(t, name, {-1, -1, -1, -1});
  STD_TORCH_CHECK(view.size[2] >= 1 && view.size[3] >= 1, name,
                  " must hold maps of at least 1 x 1, got ", view.size[2], " x ", view.size[3]);
  return view;
}

View view_of(const std::optional<Tensor>& t, const char* name,
             std::initializer_list<int64_t> sizes) {
  return t.has_value() ? view_of(*t, name, sizes) : View{};
}

ScalarType accumulation_type(const Tensor& maps) {
  return maps.scalar_type() == ScalarType::Double ? ScalarType::Double : ScalarType::Float;
}

Tensor empty_of(const Tensor& like, std::initializer_list<int64_t> sizes, ScalarType dtype) {
  return torch::stable::new_empty(
      like, torch::headeronly::IntHeaderOnlyArrayRef(sizes.begin(), sizes.size()), dtype);
}

void check_window(int64_t height, int64_t width) {
  STD_TORCH_CHECK(height >= 1 && width >= 1, "window must be at least 1 x 1, got ", height, " x ",
                  width);
}

Window window_of(int64_t height, int64_t width, int64_t sampling, int64_t border) {
  check_window(height, width);
  return {height, width, static_cast<Sampling>(sampling), static_cast<Border>(border)};
}

}  // namespace hhd::ops
