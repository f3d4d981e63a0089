// hhd_loss is joint_loss without coordinates: one loop over the maps serves both.
#include <tuple>
#include <vector>

#include "tensors.h"

namespace hhd::cpu {
namespace {

constexpr int64_t kOfficial = 1;  // of the reductions; 0 is the weighted mean

// A number in a tensor of one element, read where the kernels run: no synchronisation.
double number_in(const Tensor& t, const char* name) {
  return kernels().float64.sum(view_of(t, name, {}));
}

double upstream_of(const std::optional<Tensor>& grad_scale) {
  return grad_scale.has_value() ? number_in(*grad_scale, "grad_scale") : 1;
}

// What a term's sum over the joints is divided by. The weights count before any joint is skipped.
double denominator(const View& maps, const View& weight, int64_t reduction, int64_t official) {
  if (reduction == kOfficial) return static_cast<double>(official);
  if (weight.data != nullptr) return kernels().float64.sum(weight);
  return static_cast<double>(maps.size[0] * maps.size[1]);
}

double divide(double sum, double by) { return by == 0 ? 0 : sum / by; }

// In the order of the joints, whoever computed them.
double sum_of(const std::vector<double>& terms) {
  double sum = 0;
  for (const double term : terms) sum += term;
  return sum;
}

Tensor scalar(const Tensor& like, double value) {
  const ScalarType dtype = accumulation_type(like);
  Tensor t = empty_of(like, {}, dtype);
  if (dtype == ScalarType::Double) {
    *static_cast<double*>(t.mutable_data_ptr()) = value;
  } else {
    *static_cast<float*>(t.mutable_data_ptr()) = static_cast<float>(value);
  }
  return t;
}

struct Terms {
  double coordinate;
  double hhd;
};

// Runs the loss over all maps; the scales in `args` arrive as the terms' weights and leave as the
// factors of each joint's gradient.
Terms run(LossViews& views, LossArgs& args, int64_t reduction, double upstream) {
  const View& maps = views.logits;
  const int64_t b = maps.size[0], joints = b * maps.size[1];
  std::vector<double> coordinate_terms(joints), hhd_terms(joints);
  views.coordinate_terms = coordinate_terms.data();
  views.hhd_terms = hhd_terms.data();
  const double by_coordinate = denominator(maps, views.weight, reduction, joints);
  const double by_hhd = denominator(maps, views.teacher_weight, reduction, b);
  args.coordinate_scale = divide(args.coordinate_scale * upstream, by_coordinate);
  args.hhd_scale = divide(args.hhd_scale * upstream, by_hhd);
  for_units(maps, [&](int64_t begin, int64_t end) {
    kernels().ops(maps).joint_loss(views, args, begin, end);
  });
  return {divide(sum_of(coordinate_terms), by_coordinate), divide(sum_of(hhd_terms), by_hhd)};
}

Tensor gradient_for(const Tensor& logits, bool with_grad) {
  return with_grad ? torch::stable::empty_like(logits)
                   : empty_of(logits, {0}, logits.scalar_type());
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

Window window_of(const View& windows, int64_t sampling, int64_t border) {
  STD_TORCH_CHECK(windows.size[2] >= 1 && windows.size[3] >= 1,
                  "windows must be at least 1 x 1, got ", windows.size[2], " x ", windows.size[3]);
  return {windows.size[2], windows.size[3], static_cast<Sampling>(sampling),
          static_cast<Border>(border)};
}

}  // namespace

std::tuple<Tensor, Tensor> hhd_loss(const Tensor& logits, const Tensor& centers,
                                    const Tensor& windows, const std::optional<Tensor>& weight,
                                    const std::optional<Tensor>& grad_scale, double beta,
                                    int64_t normalize, int64_t divergence, int64_t locate,
                                    int64_t sampling, int64_t border, int64_t reduction, double eps,
                                    double hhd_weight, bool with_grad) {
  Tensor grad = gradient_for(logits, with_grad);
  LossViews views = views_of(logits, centers, windows, grad, with_grad);
  views.teacher_weight = view_of(weight, "weight", {views.logits.size[0], views.logits.size[1]});
  LossArgs args{window_of(views.windows, sampling, border),
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
  const Terms terms = run(views, args, reduction, upstream_of(grad_scale));
  return {scalar(logits, hhd_weight * terms.hhd), grad};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> joint_loss(
    const Tensor& logits, const Tensor& centers, const Tensor& windows,
    const std::optional<Tensor>& target_coords, const std::optional<Tensor>& weight,
    const std::optional<Tensor>& teacher_weight, const std::optional<Tensor>& grad_scale,
    double beta, int64_t normalize, int64_t divergence, int64_t locate, int64_t sampling,
    int64_t border, int64_t reduction, double eps, int64_t coordinate_loss, double unit_x,
    double unit_y, double transition, double coordinate_weight, double hhd_weight, bool with_grad) {
  Tensor grad = gradient_for(logits, with_grad);
  LossViews views = views_of(logits, centers, windows, grad, with_grad);
  const int64_t b = views.logits.size[0], k = views.logits.size[1];
  const ScalarType dtype = accumulation_type(logits);
  Tensor coords = empty_of(logits, {b, k, 2}, dtype);
  Tensor confidence = empty_of(logits, {b, k}, dtype);
  views.coords = view_of(coords, "coords", {b, k, 2});
  views.confidence = view_of(confidence, "confidence", {b, k});
  if (static_cast<CoordinateLoss>(coordinate_loss) != CoordinateLoss::kNone) {
    views.target_coords = view_of(target_coords, "target_coords", {b, k, 2});
  }
  views.weight = view_of(weight, "weight", {b, k});
  views.teacher_weight =
      view_of(teacher_weight.has_value() ? teacher_weight : weight, "teacher_weight", {b, k});
  LossArgs args{window_of(views.windows, sampling, border),
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
  const Terms terms = run(views, args, reduction, upstream_of(grad_scale));
  const double loss = coordinate_weight * terms.coordinate + hhd_weight * terms.hhd;
  return {scalar(logits, loss),
          scalar(logits, terms.coordinate),
          scalar(logits, terms.hhd),
          coords,
          confidence,
          grad};
}

Tensor loss_backward(const Tensor& grad, const Tensor& factor, const Tensor& logits) {
  Tensor out = torch::stable::empty_like(logits);
  const View result = view_of_maps(out, "logits");
  const View saved =
      view_of(grad, "grad", {result.size[0], result.size[1], result.size[2], result.size[3]});
  const double by = number_in(factor, "factor");
  for_units(saved, [&](int64_t begin, int64_t end) {
    kernels().ops(result).scale(saved, result, by, begin, end);
  });
  return out;
}

}  // namespace hhd::cpu

STABLE_TORCH_LIBRARY_IMPL(hhd, CPU, m) {
  m.impl("hhd_loss", TORCH_BOX(&hhd::cpu::hhd_loss));
  m.impl("joint_loss", TORCH_BOX(&hhd::cpu::joint_loss));
  m.impl("loss_backward", TORCH_BOX(&hhd::cpu::loss_backward));
}
