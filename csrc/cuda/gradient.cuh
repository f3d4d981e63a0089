// The gradient of one joint's loss with respect to its map, in the form that hhd_loss.cuh has it.
#pragma once

#include "held.cuh"
#include "hhd_loss.cuh"

namespace hhd::cuda {

// The derivative of a norm by one of its values, where `kind` has one.
template <class A>
HHD_DEVICE A norm_slope(Normalize kind, A s, A inverse_norm) {
  if (kind == Normalize::kL2) return s * inverse_norm;
  if (kind == Normalize::kL1Positive) return A(s > 0);
  return s > 0 ? A(1) : (s < 0 ? A(-1) : s);
}

// The gradient of one map. Vectors beside the window's pixels are the bulk, and simple; pixels of
// vectors that the window touches are then done one by one.
template <class T, bool kEveryday>
class GradientWriter {
 public:
  using A = Accumulator<T>;

  HHD_DEVICE GradientWriter(const Source<T, kEveryday>& map, const Sink<T, kEveryday>& sink,
                            const JointState<A, kEveryday>& state, bool softmax,
                            const Exponential<A>& exponential, Normalize kind,
                            const WindowedLoss<T, kEveryday>& term)
      : map_(map),
        sink_(sink),
        state_(state),
        softmax_(kEveryday || softmax),
        exponential_(exponential),
        kind_(kind),
        term_(term),
        g_(state.gradient),
        rest_{g_.rest_top, exponential.beta},
        top_(state.student.y.first()),
        bottom_(state.student.y.last()),
        first_(state.student.x.first()),
        last_(state.student.x.last()) {}

  HHD_DEVICE void write_beside(const Strips& strips) const {
    const A slope_x = g_.slope_x, slope_y = g_.slope_y, constant = g_.constant;
    strips.each([&](int x) {
      const bool touches = x < last_ && x + kLanes<T> > first_;
      const A along = constant + g_.uncovered + slope_x * static_cast<A>(x);
      strips.each_row([&](int y) {
        if (touches && y >= top_ && y < bottom_) return;
        A s[kLanes<T>], v[kLanes<T>];
        map_.vector(y, x, s);
        if (softmax_) {
          const A at = along + slope_y * static_cast<A>(y);
          for (int i = 0; i < kLanes<T>; ++i) {
            v[i] = exponential_(s[i]) * (at + slope_x * static_cast<A>(i));
          }
        } else {
          for (int i = 0; i < kLanes<T>; ++i) v[i] = constant;
        }
        if (has_rest()) {
          for (int i = 0; i < kLanes<T>; ++i) v[i] += g_.rest_pull * rest_(s[i]);
        }
        if (has_norm()) {
          for (int i = 0; i < kLanes<T>; ++i) {
            v[i] += g_.linear * norm_slope(kind_, s[i], state_.inverse_divisor);
          }
        }
        sink_.vector(y, x, v);
      });
    });
  }

  // The same of exponentials that are held; of a rest that has a top of its own there are none.
  HHD_DEVICE void write_beside(const Strips& strips, const Held<T>& held) const {
    if (has_rest()) return write_beside(strips);
    held.write(sink_, state_.student, g_.constant + g_.uncovered, g_.slope_x, g_.slope_y);
  }

  HHD_DEVICE void write_touched(const Team<A>& team) const {
    const int left = first_ / kLanes<T> * kLanes<T>;
    const int right = min_of((last_ + kLanes<T> - 1) / kLanes<T> * kLanes<T>, map_.width);
    const int columns = right - left;
#pragma unroll 1
    for (int n = team.thread; n < (bottom_ - top_) * columns; n += team.threads) {
      const int y = top_ + n / columns, x = left + n % columns;
      const A s = map_.at(y, x), open = 1 - state_.student.y.cover(y) * state_.student.x.cover(x);
      A v = g_.constant;
      if (softmax_) {
        const A at = g_.constant + g_.slope_y * static_cast<A>(y) + g_.slope_x * static_cast<A>(x);
        v = exponential_(s) * (at + g_.uncovered * open);
      }
      // A covered pixel may lie so far above the rest's top that its exponential overflows.
      if (has_rest() && open > 0) v += g_.rest_pull * open * rest_(s);
      if (has_norm()) v += g_.linear * norm_slope(kind_, s, state_.inverse_divisor);
      if (x >= first_ && x < last_) v += term_.gradient(y, x, s);
      sink_.element(y, x, v);
    }
  }

 private:
  // What does not enter must not meet the logits: 0 times infinity is NaN.
  HHD_DEVICE bool has_rest() const { return g_.rest_pull != 0; }
  HHD_DEVICE bool has_norm() const { return !kEveryday && g_.linear != 0; }

  const Source<T, kEveryday>& map_;
  const Sink<T, kEveryday>& sink_;
  const JointState<A, kEveryday>& state_;
  const bool softmax_;
  const Exponential<A>& exponential_;
  const Normalize kind_;
  const WindowedLoss<T, kEveryday>& term_;
  const Gradient<A>& g_;
  const Exponential<A> rest_;
  const int top_, bottom_, first_, last_;
};

template <class T, bool kWide>
HHD_DEVICE void write_zeros(const Strips& strips, const Sink<T, kWide>& sink) {
  strips.each_vector([&](int y, int x) {
    const Accumulator<T> zero[kLanes<T>] = {};
    sink.vector(y, x, zero);
  });
}

}  // namespace hhd::cuda
