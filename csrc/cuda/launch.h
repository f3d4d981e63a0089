// The CUDA kernels as functions on views of device memory: what each kernel of csrc/core does on
// the CPU, for all maps at once, in order on a stream. No torch here, so that the same sources
// also run on the CPU under the executor of tests/executor.
#pragma once

#include "../core/types.h"

namespace hhd::cuda {

using Stream = void*;  // cudaStream_t
using hhd::LossReduction;

void normalize(const View& x, const View& out, Normalize kind, double beta, double eps,
               Stream stream);
void normalize_backward(const View& grad, const View& x, const View& out, Normalize kind,
                        double beta, double eps, Stream stream);

void soft_argmax(const View& logits, const View& coords, const View& confidence,
                 const SoftArgmaxArgs& args, Stream stream);
void soft_argmax_backward(const View& grad_coords, const View& logits, const View& out,
                          const SoftArgmaxArgs& args, Stream stream);

void locate_teacher(const View& maps, const View& centers, Refine refine, int64_t blur_kernel,
                    Stream stream);
void locate_student(const View& logits, const View& teacher_centers, const View& centers,
                    Locate mode, double beta, int64_t window_h, int64_t window_w, Stream stream);

void crop(const View& maps, const View& centers, const View& out, const Window& window,
          Stream stream);
void crop_backward(const View& grad, const View& centers, const View& out, const Window& window,
                   Stream stream);

// Null `confidence` data: not wanted.
void teacher_targets(const View& maps, const View& centers, const View& windows,
                     const View& confidence, const TargetsArgs& args, Stream stream);

// The loss and, where `views.grad` has data, its gradient. `args.coordinate_scale` and `hhd_scale`
// are the weights of the two terms; `reduction.scratch` is device memory of so many bytes, 16-byte
// aligned. Null `views.coords` data: hhd_loss, without coordinates.
int64_t loss_scratch_bytes(int64_t joints);
void joint_loss(const LossViews& views, const LossArgs& args, const LossReduction& reduction,
                Stream stream);

// The same after teacher_targets of `maps`, which writes the centres and windows in `views`; one
// launch less than both.
void joint_loss_from_maps(const View& maps, const TargetsArgs& how, const LossViews& views,
                          const LossArgs& args, const LossReduction& reduction, Stream stream);

// out = factor x grad, the factor one number on the device. `out` may be `grad` itself, which a
// factor of 1 then leaves unread and unwritten.
void loss_backward(const View& grad, const View& factor, const View& out, Stream stream);

}  // namespace hhd::cuda
