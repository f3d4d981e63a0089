// What distillation needs of a teacher map: its centre, the window there, its confidence.
#include "dark.cuh"

namespace hhd::cuda {
namespace {

template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, kMinBlocks)
    teacher_targets_kernel(Plan plan, View maps, View centers, View windows, View confidence,
                           Window window, Normalize kind, Refine refine, Accumulator<T> eps,
                           Beta<Accumulator<T>> beta, GaussianKernel blur) {
  using A = Accumulator<T>;
  const Block<T> block(plan, maps);
  block.stage(maps, plan.wide_in, narrow<T>(-kInfinity<A>));
  barrier();
  block.each_map([&](Team<A>& team, Joint joint, int) {
    const int b = joint.b, k = joint.k;
    const Source<T> map = block.source(maps, plan.wide_in, joint);
    const Strips strips = block.strips(team.thread, team.threads);
    const TeacherPeak<A> peak = teacher_peak(team, map, strips, refine, blur);
    const Exponential<A> exponential{peak.max, beta};
    A norm = 1;
    if (kind == Normalize::kSoftmax) {
      norm = measure(team, map, strips, exponential, Frame<A>{}).sum;
    } else if (has_norm(kind)) {
      norm = find_norm(team, map, strips, kind);
      if (norm < eps) norm = eps;
    }
    const Frame<A> frame = place(window, peak.center.x, peak.center.y, map.height, map.width);
    const bool skipped = window.border == Border::kSkip && frame.leaves();
    const int64_t at = offset_of(windows, b, k);
    const int cells = frame.y.cells * frame.x.cells;
#pragma unroll 1
    for (int c = team.thread; c < cells; c += team.threads) {
      const int n = c / frame.x.cells, m = c % frame.x.cells;
      A sum = 0;
      bool empty = true;
      frame.each_tap(n, m, [&](int y, int x, A w) {
        const A s = map.at(y, x);
        sum += w * (kind == Normalize::kSoftmax      ? exponential(s)
                    : kind == Normalize::kL1Positive ? positive_part(s)
                                                     : s);
        empty = false;
      });
      // Empty and skipped cells are 0, whatever the norm.
      const A cell = empty || skipped ? A(0) : sum / norm;
      store(elements<A>(windows, at + n * windows.stride[2] + m * windows.stride[3]), cell);
    }
    if (team.thread != 0) return;
    write_point(centers, b, k, peak.center);
    store(elements<A>(confidence, offset_of(confidence, b, k)),
          peak.has_nan ? kInfinity<A> - kInfinity<A> : peak.max);
  });
}

}  // namespace

void teacher_targets(const View& maps, const View& centers, const View& windows,
                     const View& confidence, const TargetsArgs& args, Stream stream) {
  const GaussianKernel blur(args.refine == Refine::kDark ? args.blur_kernel : 1);
  with_type(maps.dtype, [&](auto stored) {
    using T = decltype(stored);
    using A = Accumulator<T>;
    const Plan plan = plan_maps(maps, nullptr, sizeof(T));
    launch(teacher_targets_kernel<T>, plan.blocks, plan.threads, plan.shared_bytes, stream, plan,
           maps, centers, windows, confidence, args.window, args.normalize, args.refine,
           static_cast<A>(args.eps), Beta<A>::of(1), blur);
  });
}

}  // namespace hhd::cuda
