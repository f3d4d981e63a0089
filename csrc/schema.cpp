// Every op's schema, once. Enumerations are integers in the order of core/types.h and of
// hhd_kernels/options.py; `grad` of a loss is empty unless `with_grad`.
#include <torch/csrc/stable/library.h>

STABLE_TORCH_LIBRARY(hhd, m) {
  m.def("normalize(Tensor x, int kind, float beta, float eps) -> Tensor");
  m.def("normalize_backward(Tensor grad, Tensor x, int kind, float beta, float eps) -> Tensor");

  m.def("soft_argmax(Tensor logits, float beta, int window) -> (Tensor coords, Tensor confidence)");
  m.def(
      "soft_argmax_backward(Tensor grad_coords, Tensor logits, float beta, int window) -> Tensor");

  m.def("locate_teacher(Tensor heatmaps, int refine, int blur_kernel) -> Tensor");
  m.def(
      "locate_student(Tensor logits, Tensor centers, int mode, float beta, int window_h, "
      "int window_w) -> Tensor");

  m.def(
      "crop(Tensor maps, Tensor centers, int window_h, int window_w, int sampling, int border) "
      "-> Tensor");
  m.def(
      "crop_backward(Tensor grad, Tensor maps, Tensor centers, int sampling, int border) "
      "-> Tensor");

  m.def(
      "teacher_targets(Tensor heatmaps, int window_h, int window_w, int normalize, "
      "int sampling, int border, float eps, float floor) "
      "-> (Tensor centers, Tensor windows, Tensor confidence)");

  m.def(
      "hhd_loss(Tensor logits, Tensor centers, Tensor windows, Tensor? weight, "
      "Tensor? grad_scale, float beta, "
      "int normalize, int divergence, int locate, int sampling, int border, int reduction, "
      "float eps, float hhd_weight, bool with_grad) -> (Tensor loss, Tensor grad)");
  m.def(
      "joint_loss(Tensor logits, Tensor centers, Tensor windows, Tensor? target_coords, "
      "Tensor? weight, Tensor? teacher_weight, Tensor? grad_scale, float beta, int normalize, "
      "int divergence, int locate, int sampling, int border, int reduction, float eps, "
      "int coordinate_loss, float unit_x, float unit_y, float transition, "
      "float coordinate_weight, float hhd_weight, bool with_grad) "
      "-> (Tensor loss, Tensor coordinate_loss, Tensor hhd_loss, Tensor coords, "
      "Tensor confidence, Tensor grad)");
  // teacher_targets and joint_loss at once; sampling, border and eps are those of both.
  m.def(
      "joint_loss_from_maps(Tensor logits, Tensor heatmaps, int window_h, int window_w, "
      "int teacher_normalize, float floor, Tensor? target_coords, Tensor? weight, "
      "Tensor? teacher_weight, Tensor? grad_scale, float beta, int normalize, "
      "int divergence, int locate, int sampling, int border, int reduction, float eps, "
      "int coordinate_loss, float unit_x, float unit_y, float transition, "
      "float coordinate_weight, float hhd_weight, bool with_grad) "
      "-> (Tensor loss, Tensor coordinate_loss, Tensor hhd_loss, Tensor coords, "
      "Tensor confidence, Tensor centers, Tensor windows, Tensor grad)");
  m.def("loss_backward(Tensor grad, Tensor factor, Tensor logits) -> Tensor");
  // In place; where the factor is 1, a GPU too finds out without touching the gradient.
  m.def("loss_backward_(Tensor(a!) grad, Tensor factor) -> ()");
}
