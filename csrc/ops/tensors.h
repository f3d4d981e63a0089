// Between torch's tensors and the kernels' views. Python checks what users pass, with better
// words; the checks here keep a direct call of an op from reading out of bounds.
//
// An op is a template on the device that runs it, Cpu or Cuda: both have the kernels as functions
// of views, and are made from the op's name and all tensors of the call.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/Exception.h>

#include <initializer_list>
#include <optional>

#include "../core/types.h"
#include "../cpu/torch_device.h"
#if defined(HHD_HAS_CUDA)
#include "../cuda/torch_device.h"
#endif

namespace hhd::ops {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Library = torch::stable::detail::StableLibrary;

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

Window window_of(int64_t height, int64_t width, int64_t sampling, int64_t border);

void check_window(int64_t height, int64_t width);

}  // namespace hhd::ops

// Registers what `implement<Device>` of an op's file lists, for every device that is built.
#define HHD_IMPLEMENT_CPU \
  STABLE_TORCH_LIBRARY_IMPL(hhd, CPU, m) { hhd::ops::implement<hhd::Cpu>(m); }
#if defined(HHD_HAS_CUDA)
#define HHD_IMPLEMENT \
  HHD_IMPLEMENT_CPU   \
  STABLE_TORCH_LIBRARY_IMPL(hhd, CUDA, m) { hhd::ops::implement<hhd::Cuda>(m); }
#else
#define HHD_IMPLEMENT HHD_IMPLEMENT_CPU
#endif
