// Soft-argmax, coordinate loss and HHD loss of every joint, with the gradient: each map is read
// once and its gradient written once. hhd_loss is the same without coordinates.
#include "hhd_loss.cuh"

namespace hhd::cuda {
namespace {

template <class A>
struct CoordinateTerm {
  A loss;
  A slope_x, slope_y;  // d loss / d (x, y)
};

template <class A>
HHD_DEVICE A coordinate_loss_1d(CoordinateLoss kind, A d, A transition, A* slope) {
  const A size = abs(d);
  const A sign = is_nan(d) ? d : static_cast<A>((d > 0) - (d < 0));
  switch (kind) {
    case CoordinateLoss::kL1:
      *slope = sign;
      return size;
    case CoordinateLoss::kSmoothL1:
      *slope = size < transition ? d / transition : sign;
      return size < transition ? d * d / (2 * transition) : size - transition / 2;
    default:
      *slope = 2 * d;
      return d * d;
  }
}

// The mean over the two axes.
template <class A>
HHD_DEVICE CoordinateTerm<A> coordinate_term(CoordinateLoss kind, const LossNumbers<A>& numbers,
                                             A dx, A dy) {
  const A by_x = numbers.inverse_unit_x, by_y = numbers.inverse_unit_y;
  A slope_x, slope_y;
  const A loss = coordinate_loss_1d(kind, dx * by_x, numbers.transition, &slope_x) +
                 coordinate_loss_1d(kind, dy * by_y, numbers.transition, &slope_y);
  return {loss / 2, slope_x * by_x / 2, slope_y * by_y / 2};
}

// The derivative of a norm by one of its values, where `kind` has one.
template <class A>
HHD_DEVICE A norm_slope(Normalize kind, A s) {
  if (kind == Normalize::kL2) return s;
  if (kind == Normalize::kL1Positive) return A(s > 0);
  return s > 0 ? A(1) : (s < 0 ? A(-1) : s);
}

// The gradient of one map. Vectors beside the window's pixels are the bulk, and simple; pixels of
// vectors that the window touches are then done one by one.
template <class T>
HHD_DEVICE void write_gradient(const Team<Accumulator<T>>& team, const Source<T>& map,
                               const Strips& strips, const Sink<T>& sink,
                               const Gradient<Accumulator<T>>& g, bool softmax,
                               const Exponential<Accumulator<T>>& exponential, Normalize kind,
                               const Frame<Accumulator<T>>& student, const WindowedLoss<T>& term) {
  using A = Accumulator<T>;
  const Exponential<A> rest{g.rest_top, exponential.beta};
  strips.each([&](int x) {
    const bool touches = student.x.touches(x, kLanes<T>);
    const A along = g.constant + g.uncovered + g.slope_x * static_cast<A>(x);
    strips.each_row([&](int y) {
      if (touches && student.y.touches(y, 1)) return;
      A s[kLanes<T>], v[kLanes<T>] = {};
      map.vector(y, x, s);
      if (softmax) {
        const A at = along + g.slope_y * static_cast<A>(y);
        for (int i = 0; i < kLanes<T>; ++i) {
          v[i] = exponential(s[i]) * (at + g.slope_x * static_cast<A>(i));
        }
      }
      // What does not enter must not meet the logits: 0 times infinity is NaN.
      if (g.rest_pull != 0) {
        for (int i = 0; i < kLanes<T>; ++i) v[i] += g.rest_pull * rest(s[i]);
      }
      if (g.linear != 0) {
        for (int i = 0; i < kLanes<T>; ++i) v[i] += g.linear * norm_slope(kind, s[i]);
      }
      sink.vector(y, x, v);
    });
  });

  const int top = student.y.first(), rows = student.y.last() - top;
  const int left = student.x.first() / kLanes<T> * kLanes<T>;
  const int right = (student.x.last() + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
  const int columns = min_of(right, map.width) - left;
#pragma unroll 1
  for (int n = team.thread; n < rows * columns; n += team.threads) {
    const int y = top + n / columns, x = left + n % columns;
    const A s = map.at(y, x), open = 1 - student.y.cover(y) * student.x.cover(x);
    A v = 0;
    if (softmax) {
      const A at = g.constant + g.slope_y * static_cast<A>(y) + g.slope_x * static_cast<A>(x);
      v = exponential(s) * (at + g.uncovered * open);
    }
    // A covered pixel may lie so far above the rest's top that its exponential overflows.
    if (g.rest_pull != 0 && open > 0) v += g.rest_pull * open * rest(s);
    if (g.linear != 0) v += g.linear * norm_slope(kind, s);
    if (x >= student.x.first() && x < student.x.last()) v += term.gradient(y, x, s);
    sink.element(y, x, v);
  }
}

template <class T>
HHD_DEVICE void write_zeros(const Strips& strips, const Sink<T>& sink) {
  strips.each_vector([&](int y, int x) {
    const Accumulator<T> zero[kLanes<T>] = {};
    sink.vector(y, x, zero);
  });
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

template <class T>
class JointLoss {
 public:
  using A = Accumulator<T>;

  HHD_DEVICE JointLoss(const Block<T>& block, const LossViews& views, const LossArgs& args,
                       const LossNumbers<A>& numbers, Team<A>& team, int j, int memory)
      : block_(block),
        views_(views),
        args_(args),
        numbers_(numbers),
        team_(team),
        j_(j),
        b_(block.b),
        k_(block.k + j),
        weights_(Weights<A>::of(views, b_, k_)),
        wants_coords_(views.coords.data != nullptr),
        distils_(weights_.hhd != 0),
        kl_(args.divergence == Divergence::kKl),
        softmax_(wants_coords_ || kl_ || args.normalize == Normalize::kSoftmax ||
                 args.locate == Locate::kDebiased),
        memory_(block.plan.cells_on_chip ? memory : -1),
        strips_(block.strips(team.thread, team.threads)),
        map_(block.source(views.logits, block.plan.wide_in, j)) {}

  // `scales`: of the terms' gradients.
  HHD_DEVICE void run(const Weights<A>& scales) {
    if (!wants_coords_ && !distils_) return skip();
    measure_map();
    if (wants_coords_) write_coordinates();
    Gradient<A> g;
    A coordinate_loss = 0, hhd_loss = 0;
    if (weights_.coordinate != 0) coordinate_loss = add_coordinate_term(scales.coordinate, g);
    const bool has_window = distils_ && !skipped();
    if (!has_window) student_ = {};  // covers nothing
    WindowedLoss<T> term(map_, exponential_, student_, views_.windows, b_, k_, kl_, args_.normalize,
                         memory_);
    if (has_window) hhd_loss = add_hhd_term(term, scales.hhd, g);
    write_terms(static_cast<double>(weights_.coordinate) * static_cast<double>(coordinate_loss),
                static_cast<double>(weights_.hhd) * static_cast<double>(hhd_loss));
    if (views_.grad.data == nullptr) return;
    const Sink<T> sink = block_.sink(views_.grad, j_);
    // Results may take the map's place, which others may still be looking at.
    if (sink.plane >= 0) team_.sync();
    if (weights_.coordinate == 0 && !distils_) return write_zeros(strips_, sink);
    write_gradient(team_, map_, strips_, sink, g, softmax_, exponential_, args_.normalize,
                   student_, term);
  }

 private:
  HHD_DEVICE void skip() const {
    write_terms(0, 0);
    if (views_.grad.data != nullptr) write_zeros(strips_, block_.sink(views_.grad, j_));
  }

  HHD_DEVICE Frame<A> place_at(Point<A> center) const {
    return place(args_.window, center.x, center.y, block_.height, block_.width);
  }

  // The student's window is mostly known before the softmax, and one pass then also finds the mass
  // outside it. Debiasing first takes the mass outside the peak's box.
  HHD_DEVICE void measure_map() {
    const bool debiased = args_.locate == Locate::kDebiased;
    const Peak<A> peak = find_peak(team_, map_, strips_);
    exponential_ = {peak.value, numbers_.beta};
    Frame<A> seen{};
    if (distils_) {
      center_ = read_point<A>(views_.centers, b_, k_);
      const Point<A> center =
          args_.locate == Locate::kPublished
              ? published_center(team_, map_, strips_, numbers_.locating, peak.value, center_)
              : center_;
      student_ = place_at(center);
      seen = debiased ? debiasing_box(map_, peak, numbers_.locating) : student_;
    }
    if (!softmax_) return;
#pragma unroll 1
    for (int pass = 0; pass < 2; ++pass) {
      mass_ = measure(team_, map_, strips_, exponential_, seen);
      if (!distils_ || !debiased || pass == 1) return;
      student_ = place_at(debiased_center(map_, mass_, seen, numbers_.locating, center_));
      if (!kl_) return;
      seen = student_;
    }
  }

  HHD_DEVICE bool skipped() const {
    return args_.window.border == Border::kSkip &&
           (student_.leaves() || place_at(center_).leaves());
  }

  HHD_DEVICE void write_coordinates() const {
    // Not the first warp, which has the window to do.
    if (team_.warp() != (team_.warps() > 1 ? 1 : 0)) return;
    const A confidence = mass_around(team_, map_, exponential_, mass_, mass_.x, mass_.y);
    if (team_.lane() != 0) return;
    write_point(views_.coords, b_, k_, Point<A>{mass_.x, mass_.y});
    store(elements<A>(views_.confidence, offset_of(views_.confidence, b_, k_)), confidence);
  }

  HHD_DEVICE A add_coordinate_term(A scale, Gradient<A>& g) const {
    const Point<A> target = read_point<A>(views_.target_coords, b_, k_);
    const CoordinateTerm<A> term =
        coordinate_term(args_.coordinate_loss, numbers_, mass_.x - target.x, mass_.y - target.y);
    const A factor = scale * weights_.coordinate * numbers_.beta.value / mass_.sum;
    g.slope_x = factor * term.slope_x;
    g.slope_y = factor * term.slope_y;
    g.constant = -(g.slope_x * mass_.x + g.slope_y * mass_.y);
    return term.loss;
  }

  HHD_DEVICE A add_hhd_term(WindowedLoss<T>& term, A scale, Gradient<A>& g) {
    scale *= weights_.hhd;
    A loss = 0;
    if (kl_) {
      const Rest<A> rest = measure_rest(team_, map_, strips_, exponential_, student_, mass_.rest);
      g.rest_top = rest.scaled.top;
      if (team_.warp() == 0) loss = term.kl(team_, place_at(center_), rest, mass_.sum, scale, g);
    } else {
      A divisor = 1;
      bool floored = false;
      if (has_norm(args_.normalize)) {
        divisor = find_norm(team_, map_, strips_, args_.normalize);
        floored = divisor < numbers_.eps;
        if (floored) divisor = numbers_.eps;
      } else if (args_.normalize == Normalize::kSoftmax) {
        divisor = mass_.sum;
      }
      if (team_.warp() == 0) loss = term.sse(team_, divisor, floored, scale, g);
    }
    if (views_.grad.data != nullptr) term.share(team_, g);
    return loss;
  }

  HHD_DEVICE void write_terms(double coordinate, double hhd) const {
    if (team_.thread != 0) return;
    const int64_t n = b_ * views_.logits.size[1] + k_;
    store(views_.coordinate_terms + n, coordinate);
    store(views_.hhd_terms + n, hhd);
  }

  const Block<T>& block_;
  const LossViews& views_;
  const LossArgs& args_;
  const LossNumbers<A>& numbers_;
  Team<A>& team_;
  const int j_;
  const int64_t b_, k_;
  const Weights<A> weights_;
  const bool wants_coords_, distils_, kl_;
  const bool softmax_;
  const int memory_;
  const Strips strips_;
  const Source<T> map_;
  // Of the map, once measured.
  Exponential<A> exponential_{};
  Mass<A> mass_{};
  Point<A> center_{};  // the teacher's
  Frame<A> student_{};
};

// Where the weights or the upstream gradient are tensors these four numbers are found on the
// device: what the two terms' sums are divided by, and what their gradients are multiplied by.
struct Scalars {
  double denominator[2];
  double scale[2];
};

HHD_DEVICE double divide(double sum, double by) { return by == 0 ? 0 : sum / by; }

// Sums f(n) for n in [0, count), in one fixed order.
template <class F>
HHD_DEVICE double sum_of(Team<double>& team, int64_t count, const F& f) {
  double sum[1] = {0};
  for (int64_t n = team.thread; n < count; n += team.threads) sum[0] += f(n);
  team.sum(sum);
  return sum[0];
}

HHD_DEVICE double sum_of(Team<double>& team, const View& weights) {
  const int64_t joints = weights.size[1];
  return sum_of(team, weights.size[0] * joints, [&](int64_t n) {
    return read<double>(weights, offset_of(weights, n / joints, n % joints));
  });
}

// A weight view with data is summed; `given` has what else is known.
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, 1)
    find_scalars(View weight, View teacher_weight, View grad_scale, Scalars given, Scalars* out) {
  Team<double> team(thread_index(), block_threads(), 0);
  if (weight.data != nullptr) given.denominator[0] = sum_of(team, weight);
  if (teacher_weight.data != nullptr) given.denominator[1] = sum_of(team, teacher_weight);
  if (team.thread != 0) return;
  const double upstream = grad_scale.data != nullptr ? read<double>(grad_scale, 0) : 1;
  for (int n = 0; n < 2; ++n) {
    store(&out->denominator[n], given.denominator[n]);
    store(&out->scale[n], divide(given.scale[n] * upstream, given.denominator[n]));
  }
}

HHD_DEVICE void write_number(const View& v, double x) {
  if (v.data == nullptr) return;
  if (v.dtype == DType::kFloat64) {
    store(elements<double>(v, 0), x);
  } else {
    store(elements<float>(v, 0), static_cast<float>(x));
  }
}

// The joints' terms become the losses, `weight` those of the two terms.
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, 1)
    reduce_terms(const double* coordinate_terms, const double* hhd_terms, int64_t count,
                 double coordinate_weight, double hhd_weight, Scalars given, const Scalars* found,
                 View loss, View coordinate_loss, View hhd_loss) {
  Team<double> team(thread_index(), block_threads(), 0);
  const auto term = [&](const double* terms, int n) {
    const double sum = sum_of(team, count, [&](int64_t i) { return load(terms + i); });
    return divide(sum, found != nullptr ? load(&found->denominator[n]) : given.denominator[n]);
  };
  const double coordinate = term(coordinate_terms, 0), hhd = term(hhd_terms, 1);
  if (team.thread != 0) return;
  write_number(loss, coordinate_weight * coordinate + hhd_weight * hhd);
  write_number(coordinate_loss, coordinate);
  write_number(hhd_loss, hhd);
}

template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, 1)
    joint_loss_kernel(Plan plan, LossViews views, LossArgs args,
                      LossNumbers<Accumulator<T>> numbers, const Scalars* found) {
  using A = Accumulator<T>;
  const Block<T> block(plan, views.logits);
  // A joint that counts for nothing need not be read.
  const bool needed = plan.grouped || views.coords.data != nullptr ||
                      Weights<A>::of(views, block.b, block.k).hhd != 0;
  if (needed) block.stage(views.logits, plan.wide_in, narrow<T>(-kInfinity<A>));
  barrier();
  Weights<A> scales{numbers.coordinate_scale, numbers.hhd_scale};
  if (found != nullptr) {
    scales = {static_cast<A>(load(&found->scale[0])), static_cast<A>(load(&found->scale[1]))};
  }
  block.each_map([&](Team<A>& team, int j, int memory) {
    JointLoss<T>(block, views, args, numbers, team, j, memory).run(scales);
  });
  if (views.grad.data != nullptr) block.flush(views.grad);
}

template <class T>
void launch_joint_loss(const LossViews& views, const LossArgs& args, const Scalars* found,
                       Stream stream) {
  using A = Accumulator<T>;
  const View* grad = views.grad.data != nullptr ? &views.grad : nullptr;
  const Plan plan =
      plan_maps(views.logits, grad, sizeof(T), 1, WindowedLoss<T>::cells_bytes(args.window));
  const LossNumbers<A> numbers(args, views.logits);
  launch(joint_loss_kernel<T>, plan.blocks, plan.threads, plan.shared_bytes, stream, plan, views,
         args, numbers, found);
}

}  // namespace

void joint_loss(const LossViews& views, const LossArgs& args, const LossReduction& reduction,
                Stream stream) {
  constexpr int64_t kMean = 0;
  const int64_t b = views.logits.size[0], joints = b * views.logits.size[1];
  const bool official = reduction.kind != kMean;
  Scalars given{{static_cast<double>(joints), static_cast<double>(official ? b : joints)},
                {args.coordinate_scale, args.hhd_scale}};
  // The weights count before any joint is skipped.
  const View weight = official ? View{} : views.weight;
  const View teacher_weight = official ? View{} : views.teacher_weight;
  Scalars* found = nullptr;
  if (weight.data != nullptr || teacher_weight.data != nullptr ||
      reduction.grad_scale.data != nullptr) {
    found = reinterpret_cast<Scalars*>(reduction.scalars);
    launch(find_scalars, 1, kMaxThreads, kScratchBytes, stream, weight, teacher_weight,
           reduction.grad_scale, given, found);
  }
  LossArgs scaled = args;
  scaled.coordinate_scale = given.denominator[0] == 0 ? 0 : args.coordinate_scale / joints;
  scaled.hhd_scale = given.denominator[1] == 0 ? 0 : args.hhd_scale / given.denominator[1];
  with_type(views.logits.dtype, [&](auto stored) {
    launch_joint_loss<decltype(stored)>(views, scaled, found, stream);
  });
  launch(reduce_terms, 1, kMaxThreads, kScratchBytes, stream, views.coordinate_terms,
         views.hhd_terms, joints, args.coordinate_scale, args.hhd_scale, given, found,
         reduction.loss, reduction.coordinate_loss, reduction.hhd_loss);
}

}  // namespace hhd::cuda
