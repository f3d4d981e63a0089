// What distillation needs of a teacher map: its centre, the window there, its confidence.
#include "teacher_targets.cuh"

#include "held.cuh"
#include "locate.cuh"

namespace hhd::cuda {
namespace {

// What is made of a teacher's map, and how.
struct Targets {
  View centers, windows, confidence;
  Window window;
  Normalize kind;
};

// Smaller values count as 0: those below a share of the maximum, and below `least`.
template <class A>
HHD_DEVICE A least_kept(A floor, A max, A least) {
  const A share = floor * max;
  return floor > 0 && share > least ? share : least;
}

// The window's cells at the map's peak, `value` of a pixel over the norm, and the rest.
template <class T, bool kEveryday, class Value>
HHD_DEVICE void write_targets(const Team<Accumulator<T>>& team, const Source<T, kEveryday>& map,
                              Joint joint, const Targets& targets,
                              const TeacherPeak<Accumulator<T>>& peak, Accumulator<T> norm,
                              const Value& value) {
  using A = Accumulator<T>;
  const View& windows = targets.windows;
  const int columns = static_cast<int>(targets.window.width);
  const int cells = static_cast<int>(targets.window.height) * columns;
  if (team.thread >= cells && team.thread != 0) return;
  const Point<A> center = peak.center();
  const Frame<A, kEveryday> frame =
      place<kEveryday>(targets.window, center.x, center.y, map.height, map.width);
  const int64_t at = offset_of(windows, joint.b, joint.k);
#pragma unroll 1
  for (int c = team.thread; c < cells; c += team.threads) {
    const int n = c / columns, m = c % columns;
    A sum = 0;
    bool empty = true;
    frame.each_tap(n, m, [&](int y, int x, A w) {
      sum += w * value(map.at(y, x));
      empty = false;
    });
    // An empty cell is 0, whatever the norm.
    const A cell = empty ? A(0) : sum / norm;
    store(elements<A>(windows, at + n * windows.stride[2] + m * windows.stride[3]), cell);
  }
  if (team.thread != 0) return;
  write_point(targets.centers, joint.b, joint.k, center);
  if (targets.confidence.data == nullptr) return;
  store(elements<A>(targets.confidence, offset_of(targets.confidence, joint.b, joint.k)),
        peak.has_nan ? kInfinity<A> - kInfinity<A> : peak.max);
}

// Three blocks an SM: what comes before a loss must not cost the maps registers.
template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, sizeof(T) < 8 ? 3 : kMinBlocks)
    teacher_targets_kernel(Plan plan, View maps, Targets targets, Accumulator<T> eps,
                           Accumulator<T> floor, Beta<Accumulator<T>> beta, LossStart start) {
  using A = Accumulator<T>;
  if (block_index() >= plan.blocks) return start.run(block_index() - plan.blocks);
  const Block<T> block(plan, maps);
  block.stage(maps, plan.wide_in, narrow<T>(-kInfinity<A>));
  barrier();
  block.each_map([&](Team<A>& team, Joint joint, int) {
    const Source<T> map = block.source(maps, plan.wide_in, joint);
    const Strips strips = block.strips(team.thread, team.threads);
    const TeacherPeak<A> peak = teacher_peak(team, map, strips);
    const Exponential<A> exponential{peak.max, beta};
    const Normalize kind = targets.kind;
    const A least = least_kept(floor, peak.max, -kInfinity<A>);
    const auto kept = [&](A s) { return s < least ? A(0) : s; };
    A norm = 1;
    if (kind == Normalize::kSoftmax) {
      norm = measure(team, map, strips, exponential, Frame<A>{}).sum;
    } else if (has_norm(kind)) {
      norm = find_norm(team, map, strips, kind, kept);
      if (norm < eps) norm = eps;
    }
    write_targets<T, false>(team, map, joint, targets, peak, norm, [&](A s) {
      return kind == Normalize::kSoftmax      ? exponential(s)
             : kind == Normalize::kL1Positive ? positive_part(kept(s))
                                              : kept(s);
    });
  });
}

// The everyday case: whole pixels round the peak, over the sum of the positive part. Only one pass
// keeps the map, so that more blocks fit.
template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kHeldThreads, kHeldBlocks + 1)
    held_teacher_targets_kernel(Plan plan, View maps, Targets targets, Accumulator<T> eps,
                                Accumulator<T> floor, LossStart start) {
  using A = Accumulator<T>;
  if (block_index() >= plan.blocks) return start.run(block_index() - plan.blocks);
  const Block<T> block(plan, maps);
  Team<A> team(thread_index(), block_threads());
  const Joint joint = block.first();
  const Source<T, true> map = block.template source<true>(maps, true, joint);
  Held<T> held(block.strips(team.thread, team.threads));
  held.ask(map);
  const Peak<A> peak = team.peak(held.settle(map));
  const A least = least_kept(floor, peak.value, A(0));
  const auto kept = [&](A v) { return v < least ? A(0) : v; };
  // NaN where the map has one.
  A norm = held.sum(team, kept);
  const bool has_nan = is_nan(norm);
  if (norm < eps) norm = eps;
  const Pixel at = has_nan ? Pixel{0, 0} : pixel_of(peak, map);
  write_targets<T, true>(team, map, joint, targets, {peak.value, has_nan, at}, norm, kept);
}

}  // namespace

void teacher_targets(const View& maps, const View& centers, const View& windows,
                     const View& confidence, const TargetsArgs& args, const LossStart& start,
                     Stream stream) {
  const Targets targets{centers, windows, confidence, args.window, args.normalize};
  with_type(maps.dtype, [&](auto stored) {
    using T = decltype(stored);
    using A = Accumulator<T>;
    const Plan plan = plan_maps(maps, nullptr, sizeof(T));
    const int64_t blocks = plan.blocks + start.blocks();
    const A eps = static_cast<A>(args.eps), floor = static_cast<A>(args.floor);
    if constexpr (!std::is_same_v<T, double>) {
      if (is_held(plan) && args.normalize == Normalize::kL1Positive &&
          args.window.sampling == Sampling::kNearest) {
        return launch(held_teacher_targets_kernel<T>, blocks, plan.threads, plan.shared_bytes,
                      stream, plan, maps, targets, eps, floor, start);
      }
    }
    launch(teacher_targets_kernel<T>, blocks, plan.threads, plan.shared_bytes, stream, plan, maps,
           targets, eps, floor, Beta<A>::of(1), start);
  });
}

void teacher_targets(const View& maps, const View& centers, const View& windows,
                     const View& confidence, const TargetsArgs& args, Stream stream) {
  teacher_targets(maps, centers, windows, confidence, args, LossStart(), stream);
}

}  // namespace hhd::cuda
