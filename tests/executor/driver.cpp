// The launchers of csrc/cuda and the executor's settings as plain C functions. Those that launch
// return what went wrong, or null.
#include <exception>
#include <string>

#include "../../csrc/cuda/launch.h"
#include "executor.h"
#include "memory.h"
#include "selftest.h"

#define HHD_EXPORT extern "C" __attribute__((visibility("default")))

using hhd::View;
namespace cuda = hhd::cuda;
namespace executor = hhd::executor;

namespace {

template <class Call>
const char* attempt(const Call& call) {
  static std::string error;
  try {
    call();
    return nullptr;
  } catch (const std::exception& e) {
    error = e.what();
    return error.c_str();
  }
}

const char* kept(std::string text) {
  static std::string last;
  last = std::move(text);
  return last.c_str();
}

}  // namespace

// For the caller's mirror of the structures.
HHD_EXPORT int64_t hhd_view_bytes() { return sizeof(View); }
HHD_EXPORT int64_t hhd_loss_views_bytes() { return sizeof(hhd::LossViews); }
HHD_EXPORT int64_t hhd_loss_args_bytes() { return sizeof(hhd::LossArgs); }
HHD_EXPORT int64_t hhd_loss_reduction_bytes() { return sizeof(cuda::LossReduction); }
HHD_EXPORT int64_t hhd_loss_scratch_bytes(int64_t joints) {
  return cuda::loss_scratch_bytes(joints);
}

HHD_EXPORT void hhd_set(int64_t order, int64_t seed, int64_t shared_memory_limit,
                        int64_t find_races, int64_t count_traffic) {
  executor::settings() = {static_cast<executor::Order>(order), static_cast<uint64_t>(seed),
                          shared_memory_limit, find_races != 0, count_traffic != 0};
}
HHD_EXPORT void hhd_plant(int64_t bug, const char* file, int64_t line) {
  static std::string kept_file;
  kept_file = file;
  executor::plant(static_cast<executor::Plant>(bug), {kept_file.c_str(), static_cast<int>(line)});
}
HHD_EXPORT void hhd_choose(int64_t bug) { executor::choose(static_cast<int>(bug)); }
HHD_EXPORT void hhd_expose(const char* name, void* data, int64_t bytes, int64_t writable) {
  executor::memory::expose(name, data, bytes, writable != 0);
}
HHD_EXPORT void hhd_hide_all() { executor::memory::hide_all(); }
HHD_EXPORT const char* hhd_sites() { return kept(executor::memory::sites()); }
HHD_EXPORT const char* hhd_traffic() { return kept(executor::memory::traffic()); }

HHD_EXPORT const char* hhd_selftest(int64_t which, const View* x, const View* out, int64_t blocks,
                                    int64_t threads, int64_t n) {
  return attempt([&] {
    cuda::selftest(static_cast<cuda::Selftest>(which), static_cast<const float*>(x->data),
                   static_cast<float*>(out->data), blocks, static_cast<int>(threads), n);
  });
}

HHD_EXPORT const char* hhd_normalize(const View* x, const View* out, int64_t kind, double beta,
                                     double eps) {
  return attempt(
      [&] { cuda::normalize(*x, *out, static_cast<hhd::Normalize>(kind), beta, eps, nullptr); });
}

HHD_EXPORT const char* hhd_normalize_backward(const View* grad, const View* x, const View* out,
                                              int64_t kind, double beta, double eps) {
  return attempt([&] {
    cuda::normalize_backward(*grad, *x, *out, static_cast<hhd::Normalize>(kind), beta, eps,
                             nullptr);
  });
}

HHD_EXPORT const char* hhd_soft_argmax(const View* logits, const View* coords,
                                       const View* confidence, double beta, int64_t window) {
  return attempt(
      [&] { cuda::soft_argmax(*logits, *coords, *confidence, {beta, window}, nullptr); });
}

HHD_EXPORT const char* hhd_soft_argmax_backward(const View* grad, const View* logits,
                                                const View* out, double beta, int64_t window) {
  return attempt(
      [&] { cuda::soft_argmax_backward(*grad, *logits, *out, {beta, window}, nullptr); });
}

HHD_EXPORT const char* hhd_locate_teacher(const View* maps, const View* centers, int64_t refine,
                                          int64_t blur_kernel) {
  return attempt([&] {
    cuda::locate_teacher(*maps, *centers, static_cast<hhd::Refine>(refine), blur_kernel, nullptr);
  });
}

HHD_EXPORT const char* hhd_locate_student(const View* logits, const View* teacher,
                                          const View* centers, int64_t mode, double beta,
                                          int64_t window_h, int64_t window_w) {
  return attempt([&] {
    cuda::locate_student(*logits, *teacher, *centers, static_cast<hhd::Locate>(mode), beta,
                         window_h, window_w, nullptr);
  });
}

HHD_EXPORT const char* hhd_crop(const View* maps, const View* centers, const View* out,
                                const hhd::Window* window) {
  return attempt([&] { cuda::crop(*maps, *centers, *out, *window, nullptr); });
}

HHD_EXPORT const char* hhd_crop_backward(const View* grad, const View* centers, const View* out,
                                         const hhd::Window* window) {
  return attempt([&] { cuda::crop_backward(*grad, *centers, *out, *window, nullptr); });
}

HHD_EXPORT const char* hhd_teacher_targets(const View* maps, const View* centers,
                                           const View* windows, const View* confidence,
                                           const hhd::Window* window, int64_t normalize, double eps,
                                           double floor) {
  const hhd::TargetsArgs args{*window, static_cast<hhd::Normalize>(normalize), eps, floor};
  return attempt(
      [&] { cuda::teacher_targets(*maps, *centers, *windows, *confidence, args, nullptr); });
}

HHD_EXPORT const char* hhd_joint_loss(const hhd::LossViews* views, const hhd::LossArgs* args,
                                      const cuda::LossReduction* reduction) {
  return attempt([&] { cuda::joint_loss(*views, *args, *reduction, nullptr); });
}

HHD_EXPORT const char* hhd_joint_loss_from_maps(const View* maps, const hhd::Window* window,
                                                int64_t normalize, double eps, double floor,
                                                const hhd::LossViews* views,
                                                const hhd::LossArgs* args,
                                                const cuda::LossReduction* reduction) {
  const hhd::TargetsArgs how{*window, static_cast<hhd::Normalize>(normalize), eps, floor};
  return attempt(
      [&] { cuda::joint_loss_from_maps(*maps, how, *views, *args, *reduction, nullptr); });
}

HHD_EXPORT const char* hhd_loss_backward(const View* grad, const View* factor, const View* out) {
  return attempt([&] { cuda::loss_backward(*grad, *factor, *out, nullptr); });
}
