// Soft-argmax, coordinate loss and HHD loss of every joint, with the gradient: each map is read
// once and its gradient written once. hhd_loss is the same without coordinates.
#include "gradient.cuh"
#include "reduction.cuh"
#include "teacher_targets.cuh"

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

template <class T, bool kEveryday>
class JointLoss {
 public:
  using A = Accumulator<T>;

  // `memory`: the team's, of memory_bytes() and, where they fit, the window's cells.
  HHD_DEVICE JointLoss(const Block<T>& block, const LossViews& views, const LossArgs& args,
                       const LossNumbers<A>& numbers, const LossSums& sums, Team<A>& team,
                       Joint joint, int memory)
      : block_(block),
        views_(views),
        args_(args),
        numbers_(numbers),
        sums_(sums),
        team_(team),
        joint_(joint),
        state_(*reinterpret_cast<JointState<A, kEveryday>*>(shared_memory<char>() + memory)),
        cells_(block.plan.cells_on_chip ? memory + static_cast<int>(memory_bytes()) : -1),
        strips_(block.strips(team.thread, team.threads)),
        map_(block.template source<kEveryday>(views.logits, block.plan.wide_in, joint)) {}

  HHD_HOST_DEVICE static constexpr int64_t memory_bytes() {
    return (sizeof(JointState<A, kEveryday>) + 15) / 16 * 16;
  }

  HHD_DEVICE void run() {
    const bool wants_coords = views_.coords.data != nullptr;
    const bool distils = weights().hhd != 0, has_weight = this->has_weight();
    const bool softmax = wants_coords || kl() || args_.normalize == Normalize::kSoftmax ||
                         args_.locate == Locate::kDebiased;
    Exponential<A> exponential{};
    if (wants_coords || distils) {
      const Mass<A> mass = measure_map(exponential, softmax, distils);
      if (wants_coords) write_coordinates(exponential, mass);
      find_losses(exponential, mass);
    } else if (team_.thread == 0) {
      sums_.write(index(), {0, 0});
    }
    // Results may take the map's place, which others may still be looking at.
    team_.sync();
    // Now, so that nobody waits for the count.
    const unsigned before = team_.thread == 0 ? sums_.count(index()) : 0;
    write_gradient(exponential, softmax, has_weight,
                   [&](const auto& writer) { writer.write_beside(strips_); });
    if (team_.warp() == 0) sums_.finish(team_.lane(), index(), before);
  }

  // The same for a map that registers hold.
  HHD_DEVICE void run_held() {
    const bool wants_coords = views_.coords.data != nullptr;
    const bool needed = wants_coords || Weights<A>::of(views_, joint_.b, joint_.k).hhd != 0;
    Held<T> held(strips_);
    Exponential<A> exponential{};
    if (needed) {
      held.ask(map_);
      read_ahead();
      exponential = {team_.max(held.settle(map_).value), numbers_.beta};
      const Mass<A> mass = held.measure(team_, exponential, state_.student);
      if (wants_coords) write_coordinates(exponential, mass);
      find_losses(exponential, mass);
    } else if (team_.thread == 0) {
      sums_.write(index(), {0, 0});
    }
    team_.sync();
    const unsigned before = team_.thread == 0 ? sums_.count(index()) : 0;
    write_gradient(exponential, true, needed && has_weight(),
                   [&](const auto& writer) { writer.write_beside(strips_, held); });
    if (team_.warp() == 0) sums_.finish(team_.lane(), index(), before);
  }

 private:
  // Read again rather than kept.
  HHD_DEVICE Weights<A> weights() const {
    return kEveryday ? state_.weights : Weights<A>::of(views_, joint_.b, joint_.k);
  }
  HHD_DEVICE Point<A> center() const {
    return kEveryday ? state_.center : read_point<A>(views_.centers, joint_.b, joint_.k);
  }
  HHD_DEVICE Point<A> target() const {
    return kEveryday ? state_.target : read_point<A>(views_.target_coords, joint_.b, joint_.k);
  }

  HHD_DEVICE bool kl() const { return kEveryday || args_.divergence == Divergence::kKl; }

  HHD_DEVICE WindowedLoss<T, kEveryday> window_term(const Exponential<A>& exponential) const {
    return {map_,     exponential, state_,          views_.windows, joint_.b,
            joint_.k, kl(),        args_.normalize, cells_};
  }

  // Else the gradient is 0, whatever the map holds.
  HHD_DEVICE bool has_weight() const { return weights().hhd != 0 || weights().coordinate != 0; }

  // Zeros, or by what `write_beside` does with a gradient's writer and then the window.
  template <class Write>
  HHD_DEVICE void write_gradient(const Exponential<A>& exponential, bool softmax, bool has_weight,
                                 const Write& write_beside) const {
    if (views_.grad.data == nullptr) return;
    const auto sink = block_.template sink<kEveryday>(views_.grad, joint_);
    if (!has_weight) return write_zeros(strips_, sink);
    const WindowedLoss<T, kEveryday> term = window_term(exponential);
    const GradientWriter<T, kEveryday> writer(map_, sink, state_, softmax, exponential,
                                              args_.normalize, term);
    write_beside(writer);
    writer.write_touched(team_);
  }

  // What the joint's loss needs beside its map, while that is under way; for all to see after the
  // next barrier. Both windows are at the teacher's centre: an axis a thread.
  HHD_DEVICE void read_ahead() {
    const bool distils = Weights<A>::of(views_, joint_.b, joint_.k).hhd != 0;
    if (distils) window_term({}).take_teacher(team_);
    if (team_.thread < 2) {
      const bool down = team_.thread == 0;
      Axis<A, kEveryday> axis{};  // covers nothing
      if (distils) {
        const Point<A> t = read_point<A>(views_.centers, joint_.b, joint_.k);
        const Window& window = args_.window;
        axis = place_axis<kEveryday>(down ? t.y : t.x, down ? window.height : window.width,
                                     down ? block_.height : block_.width, window.sampling,
                                     window.border);
        if (down) state_.center = t;
      }
      (down ? state_.student.y : state_.student.x) = axis;
      (down ? state_.teacher.y : state_.teacher.x) = axis;
    } else if (team_.thread == 2) {
      state_.weights = Weights<A>::of(views_, joint_.b, joint_.k);
      if (state_.weights.coordinate != 0) {
        state_.target = read_point<A>(views_.target_coords, joint_.b, joint_.k);
      }
    }
  }

  // Puts the student's window at a centre, for all to see.
  HHD_DEVICE void place_student(const Window& window, Point<A> s) {
    team_.sync();
    if (team_.thread == 0) {
      state_.student = place(window, s.x, s.y, block_.height, block_.width);
    }
    team_.sync();
  }

  // The student's window is mostly known before the softmax, and one pass then also finds the mass
  // outside it. Debiasing first takes the mass outside the peak's box.
  HHD_DEVICE Mass<A> measure_map(Exponential<A>& exponential, bool softmax, bool distils) {
    if (team_.thread == 0) state_.student = state_.teacher = {};  // covers nothing
    const Peak<A> peak = find_peak(team_, map_, strips_);
    exponential = {peak.value, numbers_.beta};
    Point<A> t{};
    if (distils) t = read_point<A>(views_.centers, joint_.b, joint_.k);
    if (distils && team_.thread == 0) {
      state_.teacher = place(args_.window, t.x, t.y, block_.height, block_.width);
    }
    const bool debiased = distils && args_.locate == Locate::kDebiased;
    if (debiased) {
      const Pixel at = pixel_of(peak, map_);
      place_student(debiasing_box(numbers_.locating), {static_cast<A>(at.x), static_cast<A>(at.y)});
    } else if (distils) {
      place_student(args_.window,
                    args_.locate == Locate::kPublished
                        ? published_center(team_, map_, strips_, numbers_.locating, peak.value, t)
                        : t);
    }
    if (!softmax) return {};
    Mass<A> mass;
#pragma unroll 1
    for (int pass = debiased ? 0 : 1; pass < 2; ++pass) {
      mass = measure(team_, map_, strips_, exponential, state_.student);
      if (pass == 1) break;
      place_student(args_.window,
                    debiased_center(map_, mass, state_.student, numbers_.locating, t));
    }
    return mass;
  }

  HHD_DEVICE void write_coordinates(const Exponential<A>& exponential, const Mass<A>& mass) const {
    // Not the first warp, which has the window to do.
    if (team_.warp() != (team_.warps() > 1 ? 1 : 0)) return;
    const A confidence = mass_around(team_, map_, exponential, mass, mass.x, mass.y);
    if (team_.lane() != 0) return;
    write_point(views_.coords, joint_.b, joint_.k, Point<A>{mass.x, mass.y});
    store(elements<A>(views_.confidence, offset_of(views_.confidence, joint_.b, joint_.k)),
          confidence);
  }

  // Both terms, and their gradient's form, by the first warp.
  HHD_DEVICE void find_losses(const Exponential<A>& exponential, const Mass<A>& mass) {
    const bool distils = weights().hhd != 0;
    Rest<A> rest{};
    A norm = 1;
    if (distils && kl()) {
      rest = measure_rest(team_, map_, strips_, exponential, state_.student, mass.rest);
    }
    if constexpr (!kEveryday) {
      if (distils && !kl() && has_norm(args_.normalize)) {
        norm = find_norm(team_, map_, strips_, args_.normalize);
      }
    }
    if (team_.warp() != 0) return;
    // What is not kept in registers while the window's work is done.
    if (team_.lane() == 0) state_.mean = {mass.x, mass.y};
    Gradient<A> g;
    A coordinate_loss = 0, hhd_loss = 0;
    if (distils) {
      const WindowedLoss<T, kEveryday> term = window_term(exponential);
      const A scale = scale_of(1) * weights().hhd;
      const bool floored = norm < numbers_.eps && has_norm(args_.normalize);
      const A divisor = args_.normalize == Normalize::kSoftmax ? mass.sum
                        : floored                              ? numbers_.eps
                                                               : norm;
      hhd_loss = kl() ? term.kl(team_, rest, mass.sum, scale, g)
                      : term.sse(team_, divisor, floored, scale, g);
      const Point<A> t = center();
      hhd_loss += (t.x - t.x) + (t.y - t.y);  // NaN for a centre that is not finite
    }
    if (team_.lane() != 0) return;
    const Weights<A> weights = this->weights();
    if (weights.coordinate != 0) {
      coordinate_loss = add_coordinate_term(mass.sum, weights.coordinate, g);
    }
    // Of a loss that is NaN, the whole map's gradient is.
    if (is_nan(coordinate_loss + hhd_loss)) g.constant = coordinate_loss + hhd_loss;
    state_.gradient = g;
    sums_.write(index(),
                {static_cast<double>(weights.coordinate) * static_cast<double>(coordinate_loss),
                 static_cast<double>(weights.hhd) * static_cast<double>(hhd_loss)});
  }

  // What a term's gradient is multiplied by.
  HHD_DEVICE A scale_of(int term) const {
    return static_cast<A>(load(&sums_.scratch().scalars->scale[term]));
  }

  HHD_DEVICE int64_t index() const { return int64_t{joint_.b} * views_.logits.size[1] + joint_.k; }

  HHD_DEVICE A add_coordinate_term(A mass_sum, A weight, Gradient<A>& g) const {
    const Point<A> target = this->target(), mean = state_.mean;
    const CoordinateTerm<A> term =
        coordinate_term(args_.coordinate_loss, numbers_, mean.x - finite_or_nan(target.x),
                        mean.y - finite_or_nan(target.y));
    const A factor = scale_of(0) * weight * numbers_.beta.value / mass_sum;
    g.slope_x = factor * term.slope_x;
    g.slope_y = factor * term.slope_y;
    g.constant -= g.slope_x * mean.x + g.slope_y * mean.y;
    return term.loss;
  }

  const Block<T>& block_;
  const LossViews& views_;
  const LossArgs& args_;
  const LossNumbers<A>& numbers_;
  const LossSums& sums_;
  Team<A>& team_;
  const Joint joint_;
  JointState<A, kEveryday>& state_;
  const int cells_;
  const Strips strips_;
  const Source<T, kEveryday> map_;
};

HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, kMinBlocks) find_scalars(LossStart start) {
  start.run(block_index());
}

template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, kMinBlocks)
    joint_loss_kernel(Plan plan, LossViews views, LossArgs args,
                      LossNumbers<Accumulator<T>> numbers, LossSums sums) {
  using A = Accumulator<T>;
  const Block<T> block(plan, views.logits);
  // A joint that counts for nothing need not be read.
  const bool needed = plan.grouped || views.coords.data != nullptr ||
                      Weights<A>::of(views, block.first().b, block.first().k).hhd != 0;
  if (needed) block.stage(views.logits, plan.wide_in, narrow<T>(-kInfinity<A>));
  barrier();
  block.each_map([&](Team<A>& team, Joint joint, int memory) {
    JointLoss<T, false>(block, views, args, numbers, sums, team, joint, memory).run();
  });
  if (views.grad.data != nullptr) block.flush(views.grad);
}

// The everyday case: a divergence of whole pixels' cells at the teacher's centre, of maps that are
// whole vectors.
template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kHeldThreads, kHeldBlocks)
    held_joint_loss_kernel(Plan plan, LossViews views, LossArgs args,
                           LossNumbers<Accumulator<T>> numbers, LossSums sums) {
  const Block<T> block(plan, views.logits);
  Team<Accumulator<T>> team(thread_index(), block_threads());
  JointLoss<T, true>(block, views, args, numbers, sums, team, block.first(), kScratchBytes)
      .run_held();
}

bool is_everyday(const Plan& plan, const LossViews& views, const LossArgs& args) {
  return args.divergence == Divergence::kKl && args.locate == Locate::kPeak &&
         args.window.sampling == Sampling::kNearest && plan.cells_on_chip &&
         (views.grad.data == nullptr || plan.wide_out) && is_held(plan);
}

template <class T>
void launch_joint_loss_of(const LossViews& views, const LossArgs& args, const LossSums& sums,
                          Stream stream) {
  using A = Accumulator<T>;
  const View* grad = views.grad.data != nullptr ? &views.grad : nullptr;
  const Plan plan =
      plan_maps(views.logits, grad, sizeof(T), 1, WindowedLoss<T, false>::cells_bytes(args.window),
                JointLoss<T, false>::memory_bytes());
  const LossNumbers<A> numbers(args, views.logits);
  auto kernel = joint_loss_kernel<T>;
  if constexpr (!std::is_same_v<T, double>) {
    if (is_everyday(plan, views, args)) kernel = held_joint_loss_kernel<T>;
  }
  launch(kernel, plan.blocks, plan.threads, plan.shared_bytes, stream, plan, views, args, numbers,
         sums);
}

void launch_joint_loss(const LossViews& views, const LossArgs& args, const LossSums& sums,
                       Stream stream) {
  with_type(views.logits.dtype, [&](auto stored) {
    launch_joint_loss_of<decltype(stored)>(views, args, sums, stream);
  });
}

}  // namespace

int64_t loss_scratch_bytes(int64_t joints) { return Scratch::bytes(joints); }

void joint_loss(const LossViews& views, const LossArgs& args, const LossReduction& reduction,
                Stream stream) {
  const LossStart start(views, args, reduction);
  launch(find_scalars, start.blocks(), kMaxThreads, kScratchBytes, stream, start);
  launch_joint_loss(views, args, start.sums(), stream);
}

void joint_loss_from_maps(const View& maps, const TargetsArgs& how, const LossViews& views,
                          const LossArgs& args, const LossReduction& reduction, Stream stream) {
  const LossStart start(views, args, reduction);
  teacher_targets(maps, views.centers, views.windows, {}, how, start, stream);
  launch_joint_loss(views, args, start.sums(), stream);
}

}  // namespace hhd::cuda
