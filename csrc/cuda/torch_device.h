// What an op of csrc/ops runs on when its tensors are on a GPU: the launchers of launch.h, on the
// tensors' device and torch's current stream there.
#pragma once

#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>
#include <torch/headeronly/util/Exception.h>

#include <exception>
#include <optional>

#include "launch.h"

namespace hhd {

class Cuda {
 public:
  using Tensor = torch::stable::Tensor;

  // Makes the tensors' device the current one while the call lasts.
  template <class... Tensors>
  Cuda(const char* op, const Tensor& first, const Tensors&... others)
      : op_(op), device_(device_of(first)), guard_(device_), stream_(current_stream(device_)) {
    (check(others), ...);
  }

  // An output with the sizes, dtype and strides of the maps.
  Tensor empty_like(const Tensor& maps) const { return torch::stable::empty_like(maps); }

  void normalize(const View& x, const View& out, Normalize kind, double beta, double eps) const {
    launch([&] { cuda::normalize(x, out, kind, beta, eps, stream_); });
  }

  void normalize_backward(const View& grad, const View& x, const View& out, Normalize kind,
                          double beta, double eps) const {
    launch([&] { cuda::normalize_backward(grad, x, out, kind, beta, eps, stream_); });
  }

  void soft_argmax(const View& logits, const View& coords, const View& confidence,
                   const SoftArgmaxArgs& args) const {
    launch([&] { cuda::soft_argmax(logits, coords, confidence, args, stream_); });
  }

  void soft_argmax_backward(const View& grad_coords, const View& logits, const View& out,
                            const SoftArgmaxArgs& args) const {
    launch([&] { cuda::soft_argmax_backward(grad_coords, logits, out, args, stream_); });
  }

  void locate_teacher(const View& maps, const View& centers, Refine refine,
                      int64_t blur_kernel) const {
    launch([&] { cuda::locate_teacher(maps, centers, refine, blur_kernel, stream_); });
  }

  void locate_student(const View& logits, const View& teacher_centers, const View& centers,
                      Locate mode, double beta, int64_t window_h, int64_t window_w) const {
    launch([&] {
      cuda::locate_student(logits, teacher_centers, centers, mode, beta, window_h, window_w,
                           stream_);
    });
  }

  void crop(const View& maps, const View& centers, const View& out, const Window& window) const {
    launch([&] { cuda::crop(maps, centers, out, window, stream_); });
  }

  void crop_backward(const View& grad, const View& centers, const View& out,
                     const Window& window) const {
    launch([&] { cuda::crop_backward(grad, centers, out, window, stream_); });
  }

  void teacher_targets(const View& maps, const View& centers, const View& windows,
                       const View& confidence, const TargetsArgs& args) const {
    launch([&] { cuda::teacher_targets(maps, centers, windows, confidence, args, stream_); });
  }

  void joint_loss(const Tensor& logits, const LossViews& views, const LossArgs& args,
                  LossReduction reduction) const;

  // The targets are made where `views` has them.
  void joint_loss_from_maps(const View& maps, const TargetsArgs& how, const Tensor& logits,
                            const LossViews& views, const LossArgs& args,
                            LossReduction reduction) const;

  void loss_backward(const View& grad, const View& factor, const View& out) const {
    launch([&] { cuda::loss_backward(grad, factor, out, stream_); });
  }

 private:
  static int32_t device_of(const Tensor& t);
  static cuda::Stream current_stream(int32_t device);

  void check(const Tensor& t) const {
    STD_TORCH_CHECK(t.is_cuda() && t.get_device_index() == device_, "hhd::", op_,
                    " takes tensors of one device; the first is on cuda:", device_,
                    ", another is not");
  }
  void check(const std::optional<Tensor>& t) const {
    if (t.has_value()) check(*t);
  }

  // Of one call of a loss.
  static Tensor scratch_for(const Tensor& logits, const LossViews& views);

  // Runs launchers; what they throw names the kernel, and here the op.
  template <class F>
  void launch(const F& f) const {
    try {
      f();
    } catch (const std::exception& error) {
      STD_TORCH_CHECK(false, "hhd::", op_, ": ", error.what());
    }
  }

  const char* op_;
  int32_t device_;
  torch::stable::accelerator::DeviceGuard guard_;
  cuda::Stream stream_;
};

}  // namespace hhd
