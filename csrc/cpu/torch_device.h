// What an op of csrc/ops runs on when its tensors are on the CPU: the kernels of csrc/core, over
// torch's own thread pool.
#pragma once

#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include "../core/types.h"

namespace hhd {

class Cpu {
 public:
  // Of the call's tensors none can be elsewhere: the dispatcher would have gone there.
  template <class... Tensors>
  explicit Cpu(const char* /*op*/, const Tensors&...) {}

  // An output with the sizes, dtype and strides of the maps.
  torch::stable::Tensor empty_like(const torch::stable::Tensor& maps) const;

  void normalize(const View& x, const View& out, Normalize kind, double beta, double eps) const {
    for_units(x, [&](int64_t begin, int64_t end) {
      kernels().ops(x).normalize(x, out, kind, beta, eps, begin, end);
    });
  }

  void normalize_backward(const View& grad, const View& x, const View& out, Normalize kind,
                          double beta, double eps) const {
    for_units(x, [&](int64_t begin, int64_t end) {
      kernels().ops(x).normalize_backward(grad, x, out, kind, beta, eps, begin, end);
    });
  }

  void soft_argmax(const View& logits, const View& coords, const View& confidence,
                   const SoftArgmaxArgs& args) const {
    for_units(logits, [&](int64_t begin, int64_t end) {
      kernels().ops(logits).soft_argmax(logits, coords, confidence, args, begin, end);
    });
  }

  void soft_argmax_backward(const View& grad_coords, const View& logits, const View& out,
                            const SoftArgmaxArgs& args) const {
    for_units(logits, [&](int64_t begin, int64_t end) {
      kernels().ops(logits).soft_argmax_backward(grad_coords, logits, out, args, begin, end);
    });
  }

  void locate_teacher(const View& maps, const View& centers, Refine refine,
                      int64_t blur_kernel) const {
    for_units(maps, [&](int64_t begin, int64_t end) {
      kernels().ops(maps).locate_teacher(maps, centers, refine, blur_kernel, begin, end);
    });
  }

  void locate_student(const View& logits, const View& teacher_centers, const View& centers,
                      Locate mode, double beta, int64_t window_h, int64_t window_w) const {
    for_units(logits, [&](int64_t begin, int64_t end) {
      kernels().ops(logits).locate_student(logits, teacher_centers, centers, mode, beta, window_h,
                                           window_w, begin, end);
    });
  }

  void crop(const View& maps, const View& centers, const View& out, const Window& window) const {
    // Unlike the others it reads no more of a map than its window.
    torch::stable::parallel_for(0, maps.size[0] * maps.size[1],
                                1 + 4096 / (window.height * window.width),
                                [&](int64_t begin, int64_t end) {
                                  kernels().ops(maps).crop(maps, centers, out, window, begin, end);
                                });
  }

  void crop_backward(const View& grad, const View& centers, const View& out,
                     const Window& window) const {
    for_units(out, [&](int64_t begin, int64_t end) {
      kernels().ops(out).crop_backward(grad, centers, out, window, begin, end);
    });
  }

  void teacher_targets(const View& maps, const View& centers, const View& windows,
                       const View& confidence, const TargetsArgs& args) const {
    for_units(maps, [&](int64_t begin, int64_t end) {
      kernels().ops(maps).teacher_targets(maps, centers, windows, confidence, args, begin, end);
    });
  }

  void joint_loss(const torch::stable::Tensor& logits, LossViews views, LossArgs args,
                  const LossReduction& reduction) const;

  // The targets are made where `views` has them.
  void joint_loss_from_maps(const View& maps, const TargetsArgs& how,
                            const torch::stable::Tensor& logits, const LossViews& views,
                            const LossArgs& args, const LossReduction& reduction) const {
    teacher_targets(maps, views.centers, views.windows, {}, how);
    joint_loss(logits, views, args, reduction);
  }

  void loss_backward(const View& grad, const View& factor, const View& out) const;

 private:
  // Calls f(begin, end) over the units of `maps`.
  template <class F>
  static void for_units(const View& maps, const F& f) {
    const int64_t units = kernels().units(maps);
    if (units == 0) return;
    const int64_t pixels = maps.size[0] * maps.size[1] * maps.size[2] * maps.size[3];
    // As in ATen, about 2^15 elements repay handing work to a thread.
    const int64_t grain = 1 + (int64_t{1} << 15) * units / (pixels + 1);
    torch::stable::parallel_for(0, units, grain, f);
  }
};

}  // namespace hhd
