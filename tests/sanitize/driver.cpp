// The kernels as plain C functions, for a process without torch. With PLANTED, the environment
// variable HHD_PLANT puts a bug into hhd_normalize that the tests must see. With COUNTING, the
// instructions of every call are counted.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "../../csrc/core/types.h"
#if defined(COUNTING)
#include "../instructions/counter.h"
#endif

#define HHD_EXPORT extern "C" __attribute__((visibility("default")))

using hhd::View;

namespace {

// What the calls below share: which accumulation type, and no exception into C.
template <class Call>
void with_ops(const View& maps, const Call& call) {
  try {
    const hhd::Ops& ops = hhd::kernels().ops(maps);
#if defined(COUNTING)
    const counting::Counter counter;
#endif
    call(ops);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    std::terminate();
  }
}

bool planted([[maybe_unused]] const char* bug) {
#if defined(PLANTED)
  const char* chosen = std::getenv("HHD_PLANT");
  return chosen != nullptr && std::string(chosen) == bug;
#else
  return false;
#endif
}

}  // namespace

HHD_EXPORT const char* hhd_capability() { return hhd::kernels().name; }

#if defined(COUNTING)
// Of the last call.
HHD_EXPORT int64_t hhd_instructions() { return counting::instructions; }
#endif

// For the caller's mirror of the structures.
HHD_EXPORT int64_t hhd_view_bytes() { return sizeof(View); }
HHD_EXPORT int64_t hhd_loss_views_bytes() { return sizeof(hhd::LossViews); }
HHD_EXPORT int64_t hhd_loss_args_bytes() { return sizeof(hhd::LossArgs); }

HHD_EXPORT int64_t hhd_units(const View* maps) { return hhd::kernels().units(*maps); }

HHD_EXPORT void hhd_normalize(const View* x, const View* out, int64_t kind, double beta, double eps,
                              int64_t begin, int64_t end) {
  if (planted("unwritten")) --end;
  with_ops(*x, [&](const hhd::Ops& ops) {
    ops.normalize(*x, *out, static_cast<hhd::Normalize>(kind), beta, eps, begin, end);
  });
  // One element past the end of a contiguous float32 output; an integer that does not fit.
  if (planted("overrun")) static_cast<float*>(out->data)[out->size[0] * out->stride[0]] = 0;
  if (planted("overflow")) std::printf("%d\n", static_cast<int>(1e30 * beta));
}

HHD_EXPORT void hhd_normalize_backward(const View* grad, const View* x, const View* out,
                                       int64_t kind, double beta, double eps, int64_t begin,
                                       int64_t end) {
  with_ops(*x, [&](const hhd::Ops& ops) {
    ops.normalize_backward(*grad, *x, *out, static_cast<hhd::Normalize>(kind), beta, eps, begin,
                           end);
  });
}

HHD_EXPORT void hhd_soft_argmax(const View* logits, const View* coords, const View* confidence,
                                double beta, int64_t window, int64_t begin, int64_t end) {
  with_ops(*logits, [&](const hhd::Ops& ops) {
    ops.soft_argmax(*logits, *coords, *confidence, {beta, window}, begin, end);
  });
}

HHD_EXPORT void hhd_soft_argmax_backward(const View* grad, const View* logits, const View* out,
                                         double beta, int64_t window, int64_t begin, int64_t end) {
  with_ops(*logits, [&](const hhd::Ops& ops) {
    ops.soft_argmax_backward(*grad, *logits, *out, {beta, window}, begin, end);
  });
}

HHD_EXPORT void hhd_locate_teacher(const View* maps, const View* centers, int64_t refine,
                                   int64_t blur_kernel, int64_t begin, int64_t end) {
  with_ops(*maps, [&](const hhd::Ops& ops) {
    ops.locate_teacher(*maps, *centers, static_cast<hhd::Refine>(refine), blur_kernel, begin, end);
  });
}

HHD_EXPORT void hhd_locate_student(const View* logits, const View* teacher, const View* centers,
                                   int64_t mode, double beta, int64_t window_h, int64_t window_w,
                                   int64_t begin, int64_t end) {
  with_ops(*logits, [&](const hhd::Ops& ops) {
    ops.locate_student(*logits, *teacher, *centers, static_cast<hhd::Locate>(mode), beta, window_h,
                       window_w, begin, end);
  });
}

HHD_EXPORT void hhd_crop(const View* maps, const View* centers, const View* out,
                         const hhd::Window* window, int64_t begin, int64_t end) {
  with_ops(*maps,
           [&](const hhd::Ops& ops) { ops.crop(*maps, *centers, *out, *window, begin, end); });
}

HHD_EXPORT void hhd_crop_backward(const View* grad, const View* centers, const View* out,
                                  const hhd::Window* window, int64_t begin, int64_t end) {
  with_ops(*out, [&](const hhd::Ops& ops) {
    ops.crop_backward(*grad, *centers, *out, *window, begin, end);
  });
}

HHD_EXPORT void hhd_teacher_targets(const View* maps, const View* centers, const View* windows,
                                    const View* confidence, const hhd::Window* window,
                                    int64_t normalize, double eps, double floor, int64_t begin,
                                    int64_t end) {
  const hhd::TargetsArgs args{*window, static_cast<hhd::Normalize>(normalize), eps, floor};
  with_ops(*maps, [&](const hhd::Ops& ops) {
    ops.teacher_targets(*maps, *centers, *windows, *confidence, args, begin, end);
  });
}

HHD_EXPORT void hhd_joint_loss(const hhd::LossViews* views, const hhd::LossArgs* args,
                               int64_t begin, int64_t end) {
  with_ops(views->logits, [&](const hhd::Ops& ops) { ops.joint_loss(*views, *args, begin, end); });
}

HHD_EXPORT void hhd_scale(const View* x, const View* out, double factor, int64_t begin,
                          int64_t end) {
  with_ops(*x, [&](const hhd::Ops& ops) { ops.scale(*x, *out, factor, begin, end); });
}

HHD_EXPORT double hhd_sum(const View* weights) { return hhd::kernels().float64.sum(*weights); }
