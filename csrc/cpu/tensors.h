// Between torch's tensors and the kernels' views. Python checks what users pass, with better
// words; the checks here keep a direct call of an op from reading out of bounds.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <initializer_list>
#include <optional>

#include "../core/types.h"

namespace hhd::cpu {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

DType dtype_of(const Tensor& t, const char* name);

// A view of a tensor whose sizes must be `sizes` (-1: any); missing trailing sizes are 1.
View view_of(const Tensor& t, const char* name, std::initializer_list<int64_t> sizes);

// [B, K, H, W] with H, W >= 1.
View view_of_maps(const Tensor& t, const char* name);

// A view without data where the argument was left out.
View view_of(const std::optional<Tensor>& t, const char* name,
             std::initializer_list<int64_t> sizes);

// The type of coordinates, confidences and losses: float64 for float64 maps, else float32.
ScalarType accumulation_type(const Tensor& maps);

Tensor empty_of(const Tensor& like, std::initializer_list<int64_t> sizes, ScalarType dtype);

// Calls f(begin, end) over the units of `maps`, in torch's own thread pool.
template <class F>
void for_units(const View& maps, const F& f) {
  const int64_t units = kernels().units(maps);
  if (units == 0) return;
  const int64_t pixels = maps.size[0] * maps.size[1] * maps.size[2] * maps.size[3];
  // As in ATen, about 2^15 elements repay handing work to a thread.
  const int64_t grain = 1 + (int64_t{1} << 15) * units / (pixels + 1);
  torch::stable::parallel_for(0, units, grain, f);
}

}  // namespace hhd::cpu
