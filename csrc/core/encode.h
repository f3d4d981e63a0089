// Gaussian target heatmaps, one joint at a time: the MSRA (HRNet) and the unbiased (DARK) form.
//
// A joint is (x, y) in heatmap pixels; the centre of column i is x = i. Plain C++17 without torch,
// Python, threads or static state. The caller checks the sizes (>= 1) and sigma (finite, > 0).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace hhd::host {

struct Joint {
  double x;
  double y;
  double visible;  // the joint's weight; drawn if > 0.5
};

// Draws joints on H x W maps; holds the scratch of one map, so it is not shared between threads.
class TargetEncoder {
 public:
  TargetEncoder(std::int64_t height, std::int64_t width, double sigma)
      : sigma_(sigma),
        column_(static_cast<std::size_t>(height)),
        row_(static_cast<std::size_t>(width)) {}

  // exp(-|p - mu|^2 / (2 sigma^2)) with mu = int(joint + 0.5), cut to the square of radius 3 sigma
  // around mu (HRNet `generate_target`, mmpose `generate_gaussian_heatmaps`). Overwrites the H x W
  // values at `map`, returns the joint's weight.
  float Msra(const Joint& joint, float* map) {
    const double mu_x = std::trunc(joint.x + 0.5);
    const double mu_y = std::trunc(joint.y + 0.5);
    // A whole radius, so that a fractional 3 sigma still centres the square on mu.
    const double radius = std::floor(3.0 * sigma_);
    return Draw(joint, mu_x, mu_y, radius, /*cut=*/true, map);
  }

  // The same Gaussian about the unrounded joint and over the whole map (mmpose
  // `generate_unbiased_gaussian_heatmaps`).
  float Dark(const Joint& joint, float* map) {
    return Draw(joint, joint.x, joint.y, 3.0 * sigma_, /*cut=*/false, map);
  }

 private:
  float Draw(const Joint& joint, double mu_x, double mu_y, double radius, bool cut, float* map) {
    std::fill(map, map + column_.size() * row_.size(), 0.0f);
    // Written so that an undrawn joint's NaN coordinate counts as inside and keeps its weight.
    if (IsOutside(mu_x, radius, row_.size()) || IsOutside(mu_y, radius, column_.size())) return 0;
    if (joint.visible > 0.5) {
      FillProfile(mu_x, radius, cut, &row_);
      FillProfile(mu_y, radius, cut, &column_);
      for (const double g_y : column_) {
        for (const double g_x : row_) *map++ = static_cast<float>(g_y * g_x);
      }
    }
    return static_cast<float>(joint.visible);
  }

  // Upstream's test, kept to the letter: the exclusive end mu + radius + 1 may be 0, which leaves
  // an empty map whose weight is not cleared.
  static bool IsOutside(double mu, double radius, std::size_t length) {
    return mu - radius >= static_cast<double>(length) || mu + radius + 1.0 < 0.0;
  }

  void FillProfile(double mu, double radius, bool cut, std::vector<double>* profile) const {
    for (std::size_t i = 0; i < profile->size(); ++i) {
      const double d = static_cast<double>(i) - mu;
      const double z = d / sigma_;  // divides first: the square of a tiny sigma would be 0
      const bool inside = !cut || std::abs(d) <= radius;
      (*profile)[i] = inside ? std::exp(-0.5 * z * z) : 0.0;
    }
  }

  double sigma_;
  std::vector<double> column_;  // the Gaussian along y
  std::vector<double> row_;     // the Gaussian along x
};

}  // namespace hhd::host
