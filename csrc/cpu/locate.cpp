#include "tensors.h"

namespace hhd::cpu {

Tensor locate_teacher(const Tensor& heatmaps, int64_t refine, int64_t blur_kernel) {
  const View maps = view_of_maps(heatmaps, "heatmaps");
  STD_TORCH_CHECK(blur_kernel >= 1 && blur_kernel <= 999 && blur_kernel % 2 == 1,
                  "blur_kernel must be odd, from 1 to 999, got ", blur_kernel);
  Tensor centers = empty_of(heatmaps, {maps.size[0], maps.size[1], 2}, accumulation_type(heatmaps));
  const View out = view_of(centers, "centers", {-1, -1, 2});
  for_units(maps, [&](int64_t begin, int64_t end) {
    kernels().ops(maps).locate_teacher(maps, out, static_cast<Refine>(refine), blur_kernel, begin,
                                       end);
  });
  return centers;
}

Tensor locate_student(const Tensor& logits, const Tensor& centers, int64_t mode, double beta,
                      int64_t window_h, int64_t window_w) {
  const View maps = view_of_maps(logits, "logits");
  const View teacher = view_of(centers, "centers", {maps.size[0], maps.size[1], 2});
  STD_TORCH_CHECK(window_h >= 1 && window_w >= 1, "window must be at least 1 x 1, got ", window_h,
                  " x ", window_w);
  Tensor student = empty_of(logits, {maps.size[0], maps.size[1], 2}, accumulation_type(logits));
  const View out = view_of(student, "student", {-1, -1, 2});
  for_units(maps, [&](int64_t begin, int64_t end) {
    kernels().ops(maps).locate_student(maps, teacher, out, static_cast<Locate>(mode), beta,
                                       window_h, window_w, begin, end);
  });
  return student;
}

}  // namespace hhd::cpu

STABLE_TORCH_LIBRARY_IMPL(hhd, CPU, m) {
  m.impl("locate_teacher", TORCH_BOX(&hhd::cpu::locate_teacher));
  m.impl("locate_student", TORCH_BOX(&hhd::cpu::locate_student));
}
