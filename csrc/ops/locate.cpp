#include "tensors.h"

namespace hhd::ops {

template <class Device>
Tensor locate_teacher(const Tensor& heatmaps, int64_t refine, int64_t blur_kernel) {
  const Device device("locate_teacher", heatmaps);
  const View maps = view_of_maps(heatmaps, "heatmaps");
  STD_TORCH_CHECK(blur_kernel >= 1 && blur_kernel <= 999 && blur_kernel % 2 == 1,
                  "blur_kernel must be odd, from 1 to 999, got ", blur_kernel);
  Tensor centers = empty_of(heatmaps, {maps.size[0], maps.size[1], 2}, accumulation_type(heatmaps));
  device.locate_teacher(maps, view_of(centers, "centers", {-1, -1, 2}), static_cast<Refine>(refine),
                        blur_kernel);
  return centers;
}

template <class Device>
Tensor locate_student(const Tensor& logits, const Tensor& centers, int64_t mode, double beta,
                      int64_t window_h, int64_t window_w) {
  const Device device("locate_student", logits, centers);
  const View maps = view_of_maps(logits, "logits");
  const View teacher = view_of(centers, "centers", {maps.size[0], maps.size[1], 2});
  check_window(window_h, window_w);
  Tensor student = empty_of(logits, {maps.size[0], maps.size[1], 2}, accumulation_type(logits));
  device.locate_student(maps, teacher, view_of(student, "student", {-1, -1, 2}),
                        static_cast<Locate>(mode), beta, window_h, window_w);
  return student;
}

template <class Device>
static void implement(Library& m) {
  m.impl("locate_teacher", TORCH_BOX(&locate_teacher<Device>));
  m.impl("locate_student", TORCH_BOX(&locate_student<Device>));
}

}  // namespace hhd::ops

HHD_IMPLEMENT
