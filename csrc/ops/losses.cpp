// hhd_loss is joint_loss without coordinates: one pass over the maps serves both.
#include <tuple>

#include "tensors.h"

namespace hhd::ops {
namespace {

template <class Device>
Tensor gradient_for(const Device& device, const Tensor& logits, bool with_grad) {
  return with_grad ? device.empty_like(logits) : empty_of(logits, {0}, logits.scalar_type());
}

LossViews views_of(const Tensor& logits, const Tensor& centers, const Tensor& windows,
                   const Tensor& grad, bool with_grad) {
  LossViews views{};
  views.logits = view_of_maps(logits, "logits");
  const int64_t b = views.logits.size[0], k = views.logits.size[1];
  views.centers = view_of(centers, "centers", {b, k, 2});
  views.windows = view_of(windows, "windows", {b, k, -1, -1});
  if (with_grad) views.grad = view_of_maps(grad, "grad");
  return views;
}

// What the labels say of each joint; a weight that was left out is the coordinates'.
void view_labels(LossViews& views, CoordinateLoss coordinate_loss,
                 const std::optional<Tensor>& target_coords, const std::optional<Tensor>& weight,
                 const std::optional<Tensor>& teacher_weight) {
  const int64_t b = views.logits.size[0], k = views.logits.size[1];
  if (coordinate_loss != CoordinateLoss::kNone) {
    views.target_coords = view_of(target_coords, "target_coords", {b, k, 2});
  }
  views.weight = view_of(weight, "weight", {b, k});
  views.teacher_weight =
      view_of(teacher_weight.has_value() ? teacher_weight : weight, "teacher_weight", {b, k});
}

// What a joint loss gives beside its gradient.
struct JointResults {
  JointResults(const Tensor& logits, LossViews& views)
      : loss(number(logits)), coordinate_loss(number(logits)), hhd_loss(number(logits)) {
    const int64_t b = views.logits.size[0], k = views.logits.size[1];
    coords = empty_of(logits, {b, k, 2}, accumulation_type(logits));
    confidence = empty_of(logits, {b, k}, accumulation_type(logits));
    views.coords = view_of(coords, "coords", {b, k, 2});
    views.confidence = view_of(confidence, "confidence", {b, k});
  }

  LossReduction reduction(int64_t kind, const std::optional<Tensor>& grad_scale) const {
    return {kind, view_of(grad_scale, "grad_scale", {}), view_of(loss, "loss", {}),
            view_of(coordinate_loss, "coordinate_loss", {}), view_of(hhd_loss, "hhd_loss", {})};
  }

  static Tensor number(const Tensor& logits) {
    return empty_of(logits, {}, accumulation_type(logits));
  }

  Tensor loss, coordinate_loss, hhd_loss, coords, confidence;
};

}  // namespace

template <class Device>
std::tuple<Tensor, Tensor> hhd_loss(const Tensor& logits, const Tensor& centers,
                                    const Tensor& windows, const std::optional<Tensor>& weight,
                                    const std::optional<Tensor>& grad_scale, double beta,
                                    int64_t normalize, int64_t divergence, int64_t locate,
                                    int64_t sampling, int64_t border, int64_t reduction, double eps,
                                    double hhd_weight, bool with_grad) {
  const Device device("hhd_loss", logits, centers, windows, weight, grad_scale);
  Tensor grad = gradient_for(device, logits, with_grad);
  Tensor loss = empty_of(logits, {}, accumulation_type(logits));
  LossViews views = views_of(logits, centers, windows, grad, with_grad);
  views.teacher_weight = view_of(weight, "weight", {views.logits.size[0], views.logits.size[1]});
  const LossArgs args{window_of(views.windows.size[2], views.windows.size[3], sampling, border),
                      static_cast<Normalize>(normalize),
                      static_cast<Divergence>(divergence),
                      static_cast<Locate>(locate),
                      beta,
                      eps,
                      CoordinateLoss::kNone,
                      {1, 1},
                      1,
                      0,
                      hhd_weight};
  device.joint_loss(logits, views, args,
                    {reduction, view_of(grad_scale, "grad_scale", {}), view_of(loss, "loss", {})});
  return {loss, grad};
}

template <class Device>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> joint_loss(
    const Tensor& logits, const Tensor& centers, const Tensor& windows,
    const std::optional<Tensor>& target_coords, const std::optional<Tensor>& weight,
    const std::optional<Tensor>& teacher_weight, const std::optional<Tensor>& grad_scale,
    double beta, int64_t normalize, int64_t divergence, int64_t locate, int64_t sampling,
    int64_t border, int64_t reduction, double eps, int64_t coordinate_loss, double unit_x,
    double unit_y, double transition, double coordinate_weight, double hhd_weight, bool with_grad) {
  const Device device("joint_loss", logits, centers, windows, target_coords, weight, teacher_weight,
                      grad_scale);
  const Tensor grad = gradient_for(device, logits, with_grad);
  LossViews views = views_of(logits, centers, windows, grad, with_grad);
  const LossArgs args{window_of(views.windows.size[2], views.windows.size[3], sampling, border),
                      static_cast<Normalize>(normalize),
                      static_cast<Divergence>(divergence),
                      static_cast<Locate>(locate),
                      beta,
                      eps,
                      static_cast<CoordinateLoss>(coordinate_loss),
                      {unit_x, unit_y},
                      transition,
                      coordinate_weight,
                      hhd_weight};
  view_labels(views, args.coordinate_loss, target_coords, weight, teacher_weight);
  const JointResults r(logits, views);
  device.joint_loss(logits, views, args, r.reduction(reduction, grad_scale));
  return {r.loss, r.coordinate_loss, r.hhd_loss, r.coords, r.confidence, grad};
}

template <class Device>
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> joint_loss_from_maps(
    const Tensor& logits, const Tensor& heatmaps, int64_t window_h, int64_t window_w,
    int64_t teacher_normalize, double floor, const std::optional<Tensor>& target_coords,
    const std::optional<Tensor>& weight, const std::optional<Tensor>& teacher_weight,
    const std::optional<Tensor>& grad_scale, double beta, int64_t normalize, int64_t divergence,
    int64_t locate, int64_t sampling, int64_t border, int64_t reduction, double eps,
    int64_t coordinate_loss, double unit_x, double unit_y, double transition,
    double coordinate_weight, double hhd_weight, bool with_grad) {
  const Device device("joint_loss_from_maps", logits, heatmaps, target_coords, weight,
                      teacher_weight, grad_scale);
  const View maps = view_of_maps(heatmaps, "heatmaps");
  const Window window = window_of(window_h, window_w, sampling, border);
  const ScalarType dtype = accumulation_type(heatmaps);
  Tensor centers = empty_of(heatmaps, {maps.size[0], maps.size[1], 2}, dtype);
  Tensor windows = empty_of(heatmaps, {maps.size[0], maps.size[1], window_h, window_w}, dtype);
  const Tensor grad = gradient_for(device, logits, with_grad);
  LossViews views = views_of(logits, centers, windows, grad, with_grad);
  const LossArgs args{window,
                      static_cast<Normalize>(normalize),
                      static_cast<Divergence>(divergence),
                      static_cast<Locate>(locate),
                      beta,
                      eps,
                      static_cast<CoordinateLoss>(coordinate_loss),
                      {unit_x, unit_y},
                      transition,
                      coordinate_weight,
                      hhd_weight};
  view_labels(views, args.coordinate_loss, target_coords, weight, teacher_weight);
  const JointResults r(logits, views);
  device.joint_loss_from_maps(maps, {window, static_cast<Normalize>(teacher_normalize), eps, floor},
                              logits, views, args, r.reduction(reduction, grad_scale));
  return {r.loss, r.coordinate_loss, r.hhd_loss, r.coords, r.confidence, centers, windows, grad};
}

template <class Device>
Tensor loss_backward(const Tensor& grad, const Tensor& factor, const Tensor& logits) {
  const Device device("loss_backward", logits, grad, factor);
  Tensor out = device.empty_like(logits);
  const View result = view_of_maps(out, "logits");
  const View saved =
      view_of(grad, "grad", {result.size[0], result.size[1], result.size[2], result.size[3]});
  device.loss_backward(saved, view_of(factor, "factor", {}), result);
  return out;
}

template <class Device>
void loss_backward_(Tensor grad, const Tensor& factor) {
  const Device device("loss_backward_", grad, factor);
  const View in_place = view_of_maps(grad, "grad");
  device.loss_backward(in_place, view_of(factor, "factor", {}), in_place);
}

template <class Device>
static void implement(Library& m) {
  m.impl("hhd_loss", TORCH_BOX(&hhd_loss<Device>));
  m.impl("joint_loss", TORCH_BOX(&joint_loss<Device>));
  m.impl("joint_loss_from_maps", TORCH_BOX(&joint_loss_from_maps<Device>));
  m.impl("loss_backward", TORCH_BOX(&loss_backward<Device>));
  m.impl("loss_backward_", TORCH_BOX(&loss_backward_<Device>));
}

}  // namespace hhd::ops

HHD_IMPLEMENT
