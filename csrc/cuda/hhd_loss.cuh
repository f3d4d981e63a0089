// The HHD loss of one joint and its gradient, in the factored form that one pass over the map
// writes out. The gradient is gathered: each pixel asks which cells read it, so that no two threads
// add to one place.
#pragma once

#include "locate.cuh"

namespace hhd::cuda {

// ln of the smallest normal float32: what a mass that is exactly zero counts as in log space.
inline constexpr double kLogTiny = -87.33654475055310;

// Sums of exp(z) below this are formed anew relative to their own largest term: terms that exp
// flushed to 0 would be missed.
template <class A>
inline constexpr A kUnderflow = sizeof(A) == 8 ? A(1e-290) : A(1e-25);

// What one call needs as numbers of the accumulation type; made on the host.
template <class A>
struct LossNumbers {
  Beta<A> beta;
  Locating<A> locating;
  A eps;
  A inverse_unit_x, inverse_unit_y, transition;

  LossNumbers(const LossArgs& args, const View& maps)
      : beta(Beta<A>::of(args.beta)),
        locating(args.locate, args.window.height, args.window.width, maps),
        eps(static_cast<A>(args.eps)),
        inverse_unit_x(static_cast<A>(1 / args.unit[0])),
        inverse_unit_y(static_cast<A>(1 / args.unit[1])),
        transition(static_cast<A>(args.transition)) {}
};

// The gradient with respect to the logits S, with e = exp(beta (S - max)):
//   e (constant + slope_x x + slope_y y + uncovered (1 - cover)) + linear f(S) + patch
//     + rest_pull (1 - cover) exp(beta (S - rest_top)),
// f the derivative of the norm (S / norm, sign S, or 1 where S > 0), the patch confined to the
// pixels that the student's window reads.
// Without a softmax the constant is 0, or NaN in all of a gradient that is.
template <class A>
struct Gradient {
  A constant = 0, slope_x = 0, slope_y = 0;
  A uncovered = 0;
  A linear = 0;
  A rest_pull = 0, rest_top = 0;
};

// sum w exp(beta (S - top)) over some pixels, `top` their largest logit: a sum that cannot
// underflow, and a logarithm that is a logit where there is only one pixel.
template <class A>
struct ScaledSum {
  A top;
  A sum;  // 0 where every logit is -inf, or there is none
};

// The part of a map that no window covers, in units of exp(beta max).
template <class A>
struct Rest {
  A mass;
  ScaledSum<A> scaled;
  bool apart;  // the scaled sum has a top of its own

  HHD_DEVICE bool known() const { return scaled.sum != 0; }  // else not a pixel has mass there
};

template <class T, bool kStaged>
HHD_DEVICE Rest<Accumulator<T>> measure_rest(Team<Accumulator<T>>& team,
                                             const Source<T, kStaged>& map, const Strips& strips,
                                             const Exponential<Accumulator<T>>& exponential,
                                             const Frame<Accumulator<T>, kStaged>& student,
                                             Accumulator<T> rest) {
  using A = Accumulator<T>;
  if (!(rest < kUnderflow<A>)) return {rest, {exponential.max, rest}, false};
  // Calls f(share, logit) for every pixel that the window does not cover wholly; one by one, for
  // this is rare, and what the caller keeps in registers is not.
  const auto each_uncovered = [&](const auto& f) {
    strips.each_vector([&](int y, int x) {
      const A cover = student.y.cover(y);
#pragma unroll 1
      for (int i = x; i < min_of(x + kLanes<T>, map.width); ++i) {
        const A share = 1 - cover * student.x.cover(i);
        if (share > 0) f(share, map.at(y, i));
      }
    });
  };
  Peak<A> top{-kInfinity<A>, 0};
  each_uncovered([&](A, A s) { top.take(s, 0); });
  top = team.peak(top);
  A sum[1] = {0};
  if (is_finite(top.value)) {
    const Exponential<A> scaled{top.value, exponential.beta};
    each_uncovered([&](A share, A s) { sum[0] += share * scaled(s); });
  }
  team.sum(sum);
  return {sum[0] > 0 ? rest : A(0), {top.value, sum[0]}, true};
}

template <class A>
HHD_DEVICE A weight_of(const View& view, int64_t b, int64_t k) {
  return view.data == nullptr ? A(1) : read<A>(view, offset_of(view, b, k));
}

// What a joint's losses are multiplied by.
template <class A>
struct Weights {
  A coordinate, hhd;

  HHD_DEVICE static Weights of(const LossViews& views, int64_t b, int64_t k) {
    return {views.target_coords.data == nullptr ? A(0) : weight_of<A>(views.weight, b, k),
            weight_of<A>(views.teacher_weight, b, k)};
  }
};

// What a team knows of one joint's loss. It lies in shared memory, where it costs no registers
// while the map is gone through: one thread writes, and the team meets before others read.
template <class A, bool kEveryday>
struct JointState {
  Frame<A, kEveryday> student, teacher;
  Gradient<A> gradient;
  // Of the window's part of the gradient.
  A factor, by_mass, by_teacher, inverse_divisor;
  Point<A> mean;  // of the student's softmax
  // What the everyday case reads while its map is under way.
  Weights<A> weights;
  Point<A> center, target;
};

// One joint's window: its loss, found by the team's first warp, and what it adds to the gradient of
// a pixel, for any thread. kEveryday: known to be a divergence of cells that are whole pixels, with
// all of it on chip, which makes less than half of the code.
template <class T, bool kEveryday>
class WindowedLoss {
 public:
  using A = Accumulator<T>;

  // `cells`: where cells_bytes() of shared memory are; -1: they do not fit on chip.
  HHD_DEVICE WindowedLoss(const Source<T, kEveryday>& map, const Exponential<A>& exponential,
                          JointState<A, kEveryday>& state, const View& windows, int b, int k,
                          bool kl, Normalize kind, int cells)
      : map_(map),
        exponential_(exponential),
        state_(state),
        windows_(windows),
        b_(b),
        k_(k),
        kl_(kEveryday || kl),
        kind_(kEveryday ? Normalize::kSoftmax : kind),
        cells_(cells) {}

  // A logit and a number for every cell.
  static int64_t cells_bytes(const Window& window) {
    return 2 * window.height * window.width * int64_t{sizeof(A)};
  }

  // Puts the teacher's cells where kl() looks for them, while the map is under way.
  HHD_DEVICE void take_teacher(const Team<A>& team) const {
    const int columns = static_cast<int>(windows_.size[3]);
    const int count = static_cast<int>(windows_.size[2]) * columns;
#pragma unroll 1
    for (int c = team.thread; c < count; c += team.threads) {
      pull_of(c) = positive_part(teacher_value(c / columns, c % columns));
    }
  }

  // KL(teacher || student) over the cells and the rest. `scale`: of the gradient.
  HHD_DEVICE A kl(const Team<A>& team, const Rest<A>& rest, A mass_sum, A scale,
                  Gradient<A>& g) const {
    // Of the teacher: all, in the cells that are on the map themselves, and where the student's
    // mass is zero; of the student, in units of exp(beta max).
    A masses[4] = {0, 0, 0, 0};
    each_cell(team, [&](int c, int n, int m) {
      const A b = kEveryday ? pull_of(c) : positive_part(teacher_value(n, m));
      const ScaledSum<A> s = measure_cell(n, m);
      if (on_chip()) top_of(c) = s.top;
      if (!kEveryday && on_chip()) pull_of(c) = s.sum;
      masses[0] += b;
      if (state_.teacher.y.inside(n) && state_.teacher.x.inside(m)) masses[1] += b;
      masses[2] += s.sum == 0 ? b : 0;
      masses[3] += s.sum == 0 ? 0 : s.sum * exponential_(s.top);
    });
    sum_in_warp(masses);
    // A map that holds nothing to learn from.
    if (masses[0] == 0) return keep(team, 0, 0, 0, 1);
    const A teacher_rest = positive_part(1 - masses[1]);
    const A inverse = 1 / (masses[0] + teacher_rest), rest_share = teacher_rest * inverse;
    const A factor = scale * exponential_.beta.value, by_teacher = factor * inverse;

    const A total = masses[3] + rest.mass;
    const A log_total = log(total), by_mass = factor / total;
    g.uncovered = by_mass;
    const A on_zero = masses[2] + (rest.known() ? A(0) : teacher_rest);
    const A log_zero = static_cast<A>(kLogTiny) + log(mass_sum);
    // The other masses' log p holds the softmax's own sum, which no longer cancels.
    if (on_zero != 0) g.constant -= by_teacher * on_zero / mass_sum;
    if (rest.known()) {
      (rest.apart ? g.rest_pull : g.uncovered) -= factor * rest_share / rest.scaled.sum;
    }
    g.rest_top = rest.scaled.top;

    A loss[1] = {0};
    each_cell(team, [&](int c, int n, int m) {
      const ScaledSum<A> s = measured_cell(c, n, m);
      const A b = kEveryday ? pull_of(c) : positive_part(teacher_value(n, m));
      const A log_mass =
          s.sum == 0 ? log_zero : exponential_.log(s.top) + (kEveryday ? A(0) : log(s.sum));
      loss[0] += divergence(b * inverse, log_mass - log_total);
      if (on_chip()) pull_of(c) = kl_pull(s, by_teacher * b);
    });
    sum_in_warp(loss);
    const A log_rest =
        rest.known() ? exponential_.log(rest.scaled.top) + log(rest.scaled.sum) : log_zero;
    const A kl = loss[0] + divergence(rest_share, log_rest - log_total);
    // Rounding may leave a hair below 0, where KL cannot be.
    return keep(team, factor, by_mass, by_teacher, 1, kl < 0 ? 0 : kl);
  }

  // The sum of squared differences; `divisor` is the student's norm.
  HHD_DEVICE A sse(const Team<A>& team, A divisor, bool floored, A scale, Gradient<A>& g) const {
    const A inverse = 1 / divisor, factor = scale * inverse;
    A sums[2] = {0, 0};
    each_cell(team, [&](int c, int n, int m) {
      const A value = student_value(n, m, inverse), difference = value - teacher_value(n, m);
      if (on_chip()) pull_of(c) = difference;
      sums[0] += difference * difference;
      sums[1] += 2 * difference * value;
    });
    sum_in_warp(sums);
    const A through_norm = factor * sums[1];
    if (kind_ == Normalize::kSoftmax) g.constant -= through_norm * exponential_.beta.value;
    if (has_norm(kind_) && !floored) g.linear = -through_norm;
    return keep(team, factor, 0, 0, inverse, sums[0]);
  }

  // What pixel (y, x) of logit s gets from the cells that read it.
  HHD_DEVICE A gradient(int y, int x, A s) const {
    // An empty teacher's cells have not been measured.
    if (kl_ && state_.by_mass == 0) return 0;
    A covered = 0, pulled = 0;
    state_.student.each_reader(y, x, [&](int n, int m, A w) {
      covered += w;
      if (kEveryday) {
        pulled += pull_of(cell(n, m));  // its top is this pixel
      } else if (kl_) {
        const ScaledSum<A> sum = measured_cell(cell(n, m), n, m);
        const A pull = on_chip()
                           ? sum.sum
                           : kl_pull(sum, state_.by_teacher * positive_part(teacher_value(n, m)));
        const Exponential<A> scaled{sum.top, exponential_.beta};
        if (pull != 0 && w > 0) pulled += w * pull * scaled(s);
      } else {
        pulled +=
            w * (on_chip() ? pull_of(cell(n, m))
                           : student_value(n, m, state_.inverse_divisor) - teacher_value(n, m));
      }
    });
    if (kl_) return state_.by_mass * covered * exponential_(s) - pulled;
    const A by_map = kind_ == Normalize::kSoftmax      ? exponential_.beta.value * exponential_(s)
                     : kind_ == Normalize::kL1Positive ? A(s > 0)
                                                       : A(1);
    return 2 * state_.factor * pulled * by_map;
  }

 private:
  HHD_DEVICE A keep(const Team<A>& team, A factor, A by_mass, A by_teacher, A inverse_divisor,
                    A loss = 0) const {
    if (team.lane() == 0) {
      state_.factor = factor;
      state_.by_mass = by_mass;
      state_.by_teacher = by_teacher;
      state_.inverse_divisor = inverse_divisor;
    }
    return loss;
  }

  HHD_DEVICE bool on_chip() const { return kEveryday || cells_ >= 0; }
  // Of a cell: the student's mass (where that is 0 or 1, the teacher's), then what it takes off the
  // gradient; and its largest logit.
  HHD_DEVICE A& pull_of(int cell) const {
    return reinterpret_cast<A*>(shared_memory<char>() + cells_)[cell];
  }
  HHD_DEVICE A& top_of(int cell) const { return pull_of(cells() + cell); }

  HHD_DEVICE int cells() const { return state_.student.y.cells * state_.student.x.cells; }
  HHD_DEVICE int cell(int n, int m) const { return n * state_.student.x.cells + m; }

  // Calls f(c, n, m) for the cells of one lane, the c-th of them all.
  template <class F>
  HHD_DEVICE void each_cell(const Team<A>& team, const F& f) const {
#pragma unroll 1
    for (int c = team.lane(); c < cells(); c += kWarp) {
      f(c, c / state_.student.x.cells, c % state_.student.x.cells);
    }
  }

  HHD_DEVICE A teacher_value(int n, int m) const {
    return finite_or_nan(read<A>(windows_, offset_of(windows_, b_, k_, n, m)));
  }

  HHD_DEVICE ScaledSum<A> measured_cell(int c, int n, int m) const {
    if (!on_chip()) return measure_cell(n, m);
    const A top = top_of(c);
    return {top, kEveryday ? A(is_finite(top)) : pull_of(c)};
  }

  HHD_DEVICE ScaledSum<A> measure_cell(int n, int m) const {
    A top = -kInfinity<A>, sum = 0;
    if (kEveryday || state_.student.taps() == 1) {
      state_.student.each_tap(n, m, [&](int y, int x, A) { top = map_.at(y, x); });
      return {top, A(is_finite(top))};
    }
    state_.student.each_tap(n, m, [&](int y, int x, A w) {
      const A s = map_.at(y, x);
      top = w > 0 && s > top ? s : top;
    });
    const Exponential<A> scaled{top, exponential_.beta};
    state_.student.each_tap(n, m, [&](int y, int x, A w) {
      if (w > 0 && is_finite(top)) sum += w * scaled(map_.at(y, x));
    });
    return {top, sum};
  }

  // b (log b - log a).
  HHD_DEVICE static A divergence(A b, A log_share) {
    constexpr A kFloor = static_cast<A>(1.1754943508222875e-38);
    return b <= 0 ? 0 : b * (log(b < kFloor ? kFloor : b) - log_share);
  }

  // What the teacher's mass in a cell, times by_teacher, takes off a pixel's gradient, for a weight
  // of 1 and relative to exp(beta (S - top)).
  HHD_DEVICE static A kl_pull(const ScaledSum<A>& s, A b) {
    return s.sum == 0 ? 0 : (kEveryday ? b : b / s.sum);
  }

  HHD_DEVICE A student_value(int n, int m, A inverse_divisor) const {
    A sum = 0;
    bool empty = true;
    state_.student.each_tap(n, m, [&](int y, int x, A w) {
      const A s = map_.at(y, x);
      sum += w * (kind_ == Normalize::kSoftmax      ? exponential_(s)
                  : kind_ == Normalize::kL1Positive ? positive_part(s)
                                                    : s);
      empty = false;
    });
    // A cell that has no pixel is 0, even where the divisor is NaN.
    return empty ? 0 : sum * inverse_divisor;
  }

  const Source<T, kEveryday>& map_;
  const Exponential<A>& exponential_;
  JointState<A, kEveryday>& state_;
  const View& windows_;
  const int b_, k_;
  const bool kl_;
  const Normalize kind_;
  const int cells_;
};

}  // namespace hhd::cuda
