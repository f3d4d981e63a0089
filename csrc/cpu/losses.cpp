// How the joints' losses become one on the CPU: sums in order, in double.
#include <vector>

#include "torch_device.h"

namespace hhd {
namespace {

// A number in a tensor of one element, read where the kernels run: no synchronisation.
double number_in(const View& view) { return kernels().float64.sum(view); }

// What a term's sum over the joints is divided by.
double denominator(const View& maps, const View& weight, int64_t reduction, int64_t official) {
  if (reduction == LossReduction::kOfficial) return static_cast<double>(official);
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

void set(const View& scalar, double value) {
  if (scalar.data == nullptr) return;
  if (scalar.dtype == DType::kFloat64) {
    *static_cast<double*>(scalar.data) = value;
  } else {
    *static_cast<float*>(scalar.data) = static_cast<float>(value);
  }
}

}  // namespace

void Cpu::joint_loss(const torch::stable::Tensor&, LossViews views, LossArgs args,
                     const LossReduction& reduction) const {
  const View& maps = views.logits;
  const int64_t b = maps.size[0], joints = b * maps.size[1];
  const double upstream =
      reduction.grad_scale.data == nullptr ? 1 : number_in(reduction.grad_scale);
  const double by_coordinate = denominator(maps, views.weight, reduction.kind, joints);
  const double by_hhd = denominator(maps, views.teacher_weight, reduction.kind, b);
  const double coordinate_weight = args.coordinate_scale, hhd_weight = args.hhd_scale;
  args.coordinate_scale = divide(coordinate_weight * upstream, by_coordinate);
  args.hhd_scale = divide(hhd_weight * upstream, by_hhd);

  std::vector<double> coordinate_terms(joints), hhd_terms(joints);
  views.coordinate_terms = coordinate_terms.data();
  views.hhd_terms = hhd_terms.data();
  for_units(maps, [&](int64_t begin, int64_t end) {
    kernels().ops(maps).joint_loss(views, args, begin, end);
  });

  const double coordinate = divide(sum_of(coordinate_terms), by_coordinate);
  const double hhd = divide(sum_of(hhd_terms), by_hhd);
  set(reduction.loss, coordinate_weight * coordinate + hhd_weight * hhd);
  set(reduction.coordinate_loss, coordinate);
  set(reduction.hhd_loss, hhd);
}

void Cpu::loss_backward(const View& grad, const View& factor, const View& out) const {
  const double by = number_in(factor);
  if (by == 1 && grad.data == out.data) return;
  for_units(grad, [&](int64_t begin, int64_t end) {
    kernels().ops(out).scale(grad, out, by, begin, end);
  });
}

}  // namespace hhd
