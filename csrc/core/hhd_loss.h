// The HHD loss of one joint and its gradient, in the factored form that one pass over the map
// writes out.
#pragma once

#include "softmax.h"
#include "window.h"

namespace hhd::HHD_ISA {

// The gradient with respect to the logits S, with e = exp(beta (S - max)):
//   e (constant + slope_x x + slope_y y + uncovered (1 - cover)) + linear f(S) + patch,
// f the derivative of the norm (S / norm, sign S, or 1 where S > 0). Patch and cover are confined
// to rows [first, last).
template <class A>
struct Gradient {
  A constant, slope_x, slope_y;
  A uncovered;
  A linear, inverse_norm;
  int64_t first, last;
};

// Memory for the loss of one map at a time. A window's rows follow one another, and are written in
// that order: a row's last vector reaches into the next. What is behind the last row weighs
// nothing, since the teacher's and the mass are 0.
template <class A>
class HhdBuffers {
 public:
  HhdBuffers(const Window& window, int64_t height, int64_t width)
      : stride(window.width),
        padded_cells(round_up_to_lanes<A>(window.height * stride)),
        padded(round_up_to_lanes<A>(width)),
        teacher_(padded_cells + kLanes<A>),
        mass_(padded_cells + kLanes<A>),
        log_mass_(padded_cells + kLanes<A>),
        patch_(height * padded) {
    clear(teacher(), padded_cells + kLanes<A>);
    clear(mass(), padded_cells + kLanes<A>);
    clear(log_mass(), padded_cells + kLanes<A>);
  }

  HHD_INLINE A* teacher() const { return teacher_.get(); }  // the window to be matched
  HHD_INLINE A* mass() const { return mass_.get(); }        // the student's cells
  HHD_INLINE A* log_mass() const { return log_mass_.get(); }
  HHD_INLINE A* patch(int64_t row) const { return patch_.get() + row * padded; }

  HHD_INLINE void clear_patch(int64_t first, int64_t last) const {
    clear(patch(first), (last - first) * padded);
  }

  const int64_t stride, padded_cells, padded;

 private:
  Buffer<A> teacher_, mass_, log_mass_, patch_;
};

// Sums of exp(z) below this are formed anew relative to their own largest term: terms that exp
// flushed to 0 would be missed.
template <class A>
inline constexpr A kUnderflow = sizeof(A) == 8 ? A(1e-290) : A(1e-25);

// sum w e over some pixels as `sum` x exp(beta (top - max)), `top` their largest logit: for sums
// that would underflow. `each` calls back with every pixel's weight and logit. Differences are
// taken between logits, so that the largest contributes exactly its weight.
template <class A>
struct ScaledSum {
  A top;
  A sum;  // 0 where every logit is -inf, or there is none
  A beta;

  template <class Each>
  HHD_INLINE static ScaledSum of(A beta, const Each& each) {
    A top = -__builtin_inff(), sum = 0;
    each([&](A w, A s) { top = w > 0 && s > top ? s : top; });
    if (is_finite(top)) each([&](A w, A s) { sum += w > 0 ? w * exp_of((s - top) * beta) : 0; });
    return {top, sum, beta};
  }

  // A pixel's part of the whole.
  HHD_INLINE A share(A w, A s) const { return w * exp_of((s - top) * beta) / sum; }
};

inline constexpr float kInfinity = __builtin_inff();

// One joint's KL(teacher || student) over the window's cells and the rest of the map.
template <class A>
class WindowedKl {
 public:
  WindowedKl(const Plane<A>& map, const Softmax<A>& p, const WindowFrame<A>& student,
             const WindowFrame<A>& teacher, A beta, const HhdBuffers<A>& buffers)
      : map_(map), p_(p), student_(student), beta_(beta), buffers_(buffers) {
    measure_teacher(teacher);
    if (empty()) return;
    measure_cells();
    measure_rest();
  }

  // The teacher's map holds nothing to learn from.
  HHD_INLINE bool empty() const { return teacher_sum_ == 0; }

  HHD_INLINE A loss() const {
    if (empty()) return 0;
    const A log_total = log_of(total_);
    Vec<A> sum{};
    for (int64_t n = 0; n < buffers_.padded_cells; n += kLanes<A>) {
      const Vec<A> b = load(buffers_.teacher() + n) * inverse_teacher_;
      const Vec<A> floor = splat(static_cast<A>(1.1754943508222875e-38));
      const Vec<A> log_b = log_positive(b < floor ? floor : b);
      const Vec<A> term = b * (log_b - (load(buffers_.log_mass() + n) - log_total));
      sum += b <= 0 ? Vec<A>{} : term;
    }
    A kl = sum_lanes<A>(sum);
    const A b = teacher_rest_ * inverse_teacher_;
    if (!(b <= 0)) kl += b * (log_of(b) - (log_rest_ - log_total));
    // In one product, as its many parts would each be rounded at so large a logarithm's scale.
    kl -= teacher_on_zero_ * inverse_teacher_ * static_cast<A>(kLogTiny);
    // Rounding may leave a hair below 0, where KL cannot be.
    return kl < 0 ? 0 : kl;
  }

  HHD_INLINE void add_gradient(A scale, Gradient<A>& g) const {
    if (empty()) return;
    const A factor = scale * beta_, inverse_total = 1 / total_;
    const bool rest_underflows = rest_known_ && !(rest_ >= kUnderflow<A>) && !is_nan(rest_);
    g.first = rest_underflows ? 0 : min_of(student_.y.first, student_.y.last);
    g.last = rest_underflows ? map_.height : student_.y.last;
    const A rest_share = teacher_rest_ * inverse_teacher_;
    if (rest_underflows) {
      scale_rest(-factor * rest_share / rest_sum_);
    } else {
      buffers_.clear_patch(g.first, g.last);
    }
    g.uncovered += factor * inverse_total;
    // The other masses' log p holds the softmax's own sum, which no longer cancels.
    if (teacher_on_zero_ != 0) g.constant -= factor * teacher_on_zero_ * inverse_teacher_ / p_.sum;
    if (rest_known_ && !rest_underflows) g.uncovered -= factor * rest_share / rest_;
    if (student_.nearest()) {
      add_nearest_gradient(factor, inverse_total);
    } else {
      add_interpolated_gradient(factor, inverse_total);
    }
  }

 private:
  // KL is of the teacher's positive part. It is added up in double: what the window leaves of 1
  // can be as small as float's rounding errors, and meets large logarithms.
  HHD_INLINE void measure_teacher(const WindowFrame<A>& teacher) {
    Doubles<A> sum{};
    for (int64_t n = 0; n < buffers_.padded_cells; n += kLanes<A>) {
      const Vec<A> b = positive_part<A>(load(buffers_.teacher() + n));
      store(buffers_.teacher() + n, b);
      sum += __builtin_convertvector(b, Doubles<A>);
    }
    const double all = sum_doubles<A>(sum);
    const double rest = 1 - (teacher.whole() ? all : teacher_inside(teacher));
    teacher_sum_ = static_cast<A>(all);
    teacher_rest_ = rest < 0 ? 0 : static_cast<A>(rest);
    inverse_teacher_ = 1 / (teacher_sum_ + teacher_rest_);
  }

  // What the teacher has in the cells that are on the map themselves.
  HHD_INLINE double teacher_inside(const WindowFrame<A>& teacher) const {
    const A* cell = buffers_.teacher();
    double inside = 0;
    for (int64_t n = 0; n < teacher.y.cells; ++n, cell += buffers_.stride) {
      for (int64_t m = 0; m < teacher.x.cells; ++m) {
        if (teacher.y.inside(n) && teacher.x.inside(m)) inside += static_cast<double>(cell[m]);
      }
    }
    return inside;
  }

  // What a share of exactly zero counts as, less kLogTiny, which the loss adds for all of them;
  // masses here are in units of exp(beta max).
  HHD_INLINE A log_zero() const { return log_of(p_.sum); }

  HHD_INLINE void measure_cells() {
    if (student_.whole()) {
      measure_whole();
    } else {
      A* mass = buffers_.mass();
      A* log_mass = buffers_.log_mass();
      for (int64_t n = 0; n < student_.y.cells; ++n) {
        if (student_.nearest()) {
          measure_nearest_row(student_.y.pixel(2 * n), mass, log_mass);
        } else {
          for (int64_t m = 0; m < student_.x.cells; ++m) {
            measure_interpolated(n, m, mass + m, log_mass + m);
          }
        }
        mass += buffers_.stride;
        log_mass += buffers_.stride;
      }
    }
    Vec<A> total{};
    Bits<A> none{};
    for (int64_t n = 0; n < buffers_.padded_cells; n += kLanes<A>) {
      total += load(buffers_.mass() + n);
      none |= load(buffers_.log_mass() + n) == splat(A(-kInfinity));
    }
    total_ = sum_lanes<A>(total);
    if (any_lane<A>(none)) count_empty_cells();
  }

  // Cells without mass: the least there is takes its place in log space.
  HHD_INLINE void count_empty_cells() {
    for (int64_t n = 0; n < buffers_.padded_cells; ++n) {
      if (buffers_.log_mass()[n] != -kInfinity) continue;
      buffers_.log_mass()[n] = log_zero();
      teacher_on_zero_ += buffers_.teacher()[n];
    }
  }

  // The logarithm of a single pixel's mass is its logit: no underflow, and no log.
  HHD_INLINE void measure_whole() {
    // Local copies: a store could change any member, as far as the compiler knows.
    const int64_t rows = student_.y.cells, cells = student_.x.cells, stride = buffers_.stride;
    const int64_t e_stride = p_.e.stride, s_stride = map_.stride;
    const Softmax<A> p = p_;
    const A* e = p_.e.row(student_.y.first) + student_.x.first;
    const A* s = map_.row(student_.y.first) + student_.x.first;
    A* mass = buffers_.mass();
    A* log_mass = buffers_.log_mass();
    for (int64_t n = 0; n < rows; ++n) {
      for_vectors(e, cells, [&](int64_t m, Vec<A> v) {
        store(mass + m, v);
        store(log_mass + m, p.log_of_e(load_first(s + m, cells - m)));
      });
      e += e_stride;
      s += s_stride;
      mass += stride;
      log_mass += stride;
    }
  }

  HHD_INLINE void measure_nearest_row(int64_t i, A* mass, A* log_mass) {
    for (int64_t m = 0; m < student_.x.cells; ++m) {
      const int64_t x = student_.x.pixel(2 * m);
      const bool is_there = i >= 0 && x >= 0;
      mass[m] = is_there ? p_.e.row(i)[x] : 0;
      log_mass[m] = is_there ? p_.log_of_e(map_.row(i)[x]) : -kInfinity;
    }
  }

  HHD_INLINE void measure_interpolated(int64_t n, int64_t m, A* mass, A* log_mass) {
    *mass = 0;
    student_.for_taps(n, m, [&](int64_t i, int64_t x, A w) { *mass += w * p_.e.row(i)[x]; });
    *log_mass = log_of(*mass);
    if (*mass < kUnderflow<A>) {
      const ScaledSum<A> cell = scaled_cell(n, m);
      *log_mass = cell.sum > 0 ? p_.log_of_e(cell.top) + log_of(cell.sum) : -kInfinity;
    }
  }

  HHD_INLINE ScaledSum<A> scaled_cell(int64_t n, int64_t m) const {
    return ScaledSum<A>::of(beta_, [&](const auto& add) {
      student_.for_taps(n, m, [&](int64_t i, int64_t x, A w) { add(w, map_.row(i)[x]); });
    });
  }

  HHD_INLINE void measure_rest() {
    rest_ = sum_uncovered(p_, student_.y.cover(), student_.x.cover(), student_.y.first,
                          student_.y.last);
    log_rest_ = log_of(rest_);
    if (rest_ < kUnderflow<A>) measure_underflowing_rest();
    total_ += rest_;
  }

  // As ScaledSum, over all pixels that the window does not cover wholly. Their parts of the sum are
  // left in the patch.
  void measure_underflowing_rest() {
    const Vec<A> nothing = splat(A(-kInfinity));
    Vec<A> best = nothing, sum{};
    for_uncovered([&](A*, Vec<A> share, Vec<A> s) {
      best = max_or_second<A>(share > 0 ? s : nothing, best);
    });
    const A top = max_lanes<A>(best);
    const Vec<A> shift = splat(top), rate = splat(static_cast<A>(beta_ * kLog2E));
    for_uncovered([&](A* patch, Vec<A> share, Vec<A> s) {
      const Vec<A> part = share > 0 ? share * exp2_nonpositive((s - shift) * rate) : Vec<A>{};
      store(patch, part);
      sum += part;
    });
    rest_sum_ = is_finite(top) ? sum_lanes<A>(sum) : 0;
    rest_known_ = rest_sum_ > 0;
    log_rest_ = p_.log_of_e(top) + log_of(rest_sum_);
    if (!rest_known_) {
      rest_ = 0;
      log_rest_ = log_zero();
      teacher_on_zero_ += teacher_rest_;
    }
  }

  HHD_INLINE void scale_rest(A factor) const {
    A* patch = buffers_.patch(0);
    for (int64_t n = 0; n < map_.height * buffers_.padded; n += kLanes<A>) {
      store(patch + n, load(patch + n) * factor);
    }
  }

  // Calls f(patch, share, logits) for every vector of pixels: `share` is what the window leaves
  // free of each, 0 beyond the map.
  template <class F>
  HHD_INLINE void for_uncovered(const F& f) const {
    const Plane<A> map = map_;
    const A* cover_y = student_.y.cover();
    const A* cover_x = student_.x.cover();
    const Vec<A> whole = splat(A(1));
    with_row_length<A>(map.width, [&](auto width) {
      A* patch = buffers_.patch(0);
      for (int64_t i = 0; i < map.height; ++i, patch += buffers_.padded) {
        const A* row = map.row(i);
        const Vec<A> covered = splat(cover_y[i]);
        const auto visit = [&](const auto& share_at) {
          for_row<A>(width, [&](int64_t x, auto n) {
            f(patch + x, keep_part<A>(share_at(x), n, Vec<A>{}), load_part(row + x, n, A(0)));
          });
        };
        if (cover_y[i] == 0) {
          visit([&](int64_t) { return whole; });
        } else {
          visit([&](int64_t x) { return 1 - covered * load(cover_x + x); });
        }
      }
    });
  }

  // d loss / d logit of the cells' pixels: beta (a - b), each pixel with its share of the cell.
  HHD_INLINE void add_nearest_gradient(A factor, A inverse_total) const {
    const A* b = buffers_.teacher();
    const A* mass = buffers_.mass();
    const A by_mass = factor * inverse_total, by_teacher = factor * inverse_teacher_;
    if (student_.whole()) {
      const Vec<A> none = splat(A(-kInfinity));
      const int64_t rows = student_.y.cells, cells = student_.x.cells, stride = buffers_.stride;
      const int64_t s_stride = map_.stride, padded = buffers_.padded;
      const A* s = map_.row(student_.y.first) + student_.x.first;
      A* patch = buffers_.patch(student_.y.first) + student_.x.first;
      for (int64_t n = 0; n < rows; ++n) {
        for_vectors<A>(s, cells, [&](int64_t m, Vec<A> logit) {
          const Vec<A> taught = logit == none ? Vec<A>{} : by_teacher * load(b + m);
          store_first(patch + m, cells - m,
                      load_first(patch + m, cells - m) + (by_mass * load(mass + m) - taught));
        });
        s += s_stride;
        patch += padded;
        b += stride;
        mass += stride;
      }
      return;
    }
    for (int64_t n = 0; n < student_.y.cells; ++n) {
      const int64_t i = student_.y.pixel(2 * n);
      for (int64_t m = 0; m < student_.x.cells && i >= 0; ++m) {
        const int64_t x = student_.x.pixel(2 * m);
        if (x < 0) continue;
        const bool has_mass = mass[m] > 0 || map_.row(i)[x] != -kInfinity;
        buffers_.patch(i)[x] += by_mass * mass[m] - (has_mass ? by_teacher * b[m] : 0);
      }
      b += buffers_.stride;
      mass += buffers_.stride;
    }
  }

  HHD_INLINE void add_interpolated_gradient(A factor, A inverse_total) const {
    for (int64_t n = 0; n < student_.y.cells; ++n) {
      for (int64_t m = 0; m < student_.x.cells; ++m) {
        const int64_t cell = n * buffers_.stride + m;
        const A b = buffers_.teacher()[cell] * inverse_teacher_;
        const A mass = buffers_.mass()[cell];
        const bool underflows = mass < kUnderflow<A>;
        const ScaledSum<A> scaled = underflows ? scaled_cell(n, m) : ScaledSum<A>{};
        student_.for_taps(n, m, [&](int64_t i, int64_t x, A w) {
          const A e = w * p_.e.row(i)[x];
          const A share = !underflows      ? e / mass
                          : scaled.sum > 0 ? scaled.share(w, map_.row(i)[x])
                                           : 0;
          buffers_.patch(i)[x] += factor * (e * inverse_total - b * share);
        });
      }
    }
  }

  const Plane<A>& map_;
  const Softmax<A>& p_;
  const WindowFrame<A>& student_;
  const A beta_;
  const HhdBuffers<A>& buffers_;
  A teacher_sum_ = 0, teacher_rest_ = 0, inverse_teacher_ = 0;
  A teacher_on_zero_ = 0;  // what the teacher has where the student's mass is exactly zero
  A total_ = 0;            // of the student, in units of exp(beta max)
  A rest_ = 0, log_rest_ = 0;
  A rest_sum_ = 0;          // where it underflows: relative to its own largest term
  bool rest_known_ = true;  // false: not a pixel has mass there
};

// One joint's sum of squared differences between the windows of the normalised maps.
template <class A>
class WindowedSse {
 public:
  // `sums` are of the map under `kind`; `p` is needed for softmax only.
  WindowedSse(const Plane<A>& map, const MapSums<A>& sums, const Softmax<A>& p,
              const WindowFrame<A>& student, Normalize kind, A beta, A eps,
              const HhdBuffers<A>& buffers)
      : map_(map), p_(p), student_(student), kind_(kind), beta_(beta), buffers_(buffers) {
    const A norm = norm_of(sums, kind);
    floored_ = norm < eps;
    divisor_ = kind == Normalize::kNone      ? 1
               : kind == Normalize::kSoftmax ? p.sum
               : floored_                    ? eps
                                             : norm;
    A* cells = buffers.mass();
    student.gather(kind == Normalize::kSoftmax ? p.e : map,
                   kind == Normalize::kL1Positive ? A(0) : A(-kInfinity), 1 / divisor_, cells,
                   buffers.stride);
    Vec<A> loss{}, dot{};
    for (int64_t n = 0; n < buffers.padded_cells; n += kLanes<A>) {
      const Vec<A> value = load(cells + n);
      const Vec<A> difference = value - load(buffers.teacher() + n);
      loss += difference * difference;
      dot += 2 * difference * value;
      store(cells + n, 2 * difference);
    }
    loss_ = sum_lanes<A>(loss);
    dot_ = sum_lanes<A>(dot);
  }

  HHD_INLINE A loss() const { return loss_; }

  HHD_INLINE void add_gradient(A scale, Gradient<A>& g) const {
    g.first = min_of(student_.y.first, student_.y.last);
    g.last = student_.y.last;
    buffers_.clear_patch(g.first, g.last);
    const A factor = scale / divisor_;
    if (student_.whole()) {
      add_to_whole_patch(factor);
    } else {
      add_to_patch(factor);
    }
    if (kind_ == Normalize::kSoftmax) {
      g.constant -= factor * beta_ * dot_;
    } else if (kind_ != Normalize::kNone) {
      g.linear = floored_ ? 0 : -factor * dot_;
      g.inverse_norm = 1 / divisor_;
    }
  }

 private:
  HHD_INLINE void add_to_whole_patch(A factor) const {
    const A* slope = buffers_.mass();
    for (int64_t n = 0; n < student_.y.cells; ++n, slope += buffers_.stride) {
      const int64_t i = student_.y.first + n, left = student_.x.first;
      A* patch = buffers_.patch(i) + left;
      for_vectors<A>(slope, student_.x.cells, [&](int64_t m, Vec<A> v) {
        const int64_t count = student_.x.cells - m;
        v *= factor;
        if (kind_ == Normalize::kSoftmax) v *= load_first(p_.e.row(i) + left + m, count) * beta_;
        if (kind_ == Normalize::kL1Positive) {
          v = load_first(map_.row(i) + left + m, count) > 0 ? v : Vec<A>{};
        }
        store_first(patch + m, count, load_first(patch + m, count) + v);
      });
    }
  }

  HHD_INLINE void add_to_patch(A factor) const {
    const A* slope = buffers_.mass();
    for (int64_t n = 0; n < student_.y.cells; ++n, slope += buffers_.stride) {
      for (int64_t m = 0; m < student_.x.cells; ++m) {
        const A by_cell = factor * slope[m];
        const auto add = [&](int64_t i, int64_t x, A w) {
          const A by_map = kind_ == Normalize::kSoftmax      ? beta_ * p_.e.row(i)[x]
                           : kind_ == Normalize::kL1Positive ? A(map_.row(i)[x] > 0)
                                                             : 1;
          buffers_.patch(i)[x] += by_cell * w * by_map;
        };
        const int64_t i = student_.y.pixel(2 * n), x = student_.x.pixel(2 * m);
        if (!student_.nearest()) {
          student_.for_taps(n, m, add);
        } else if (i >= 0 && x >= 0) {
          add(i, x, 1);
        }
      }
    }
  }

  const Plane<A>& map_;
  const Softmax<A>& p_;
  const WindowFrame<A>& student_;
  const Normalize kind_;
  const A beta_;
  const HhdBuffers<A>& buffers_;
  A divisor_ = 1;
  A loss_ = 0;
  A dot_ = 0;
  bool floored_ = false;
};

}  // namespace hhd::HHD_ISA
