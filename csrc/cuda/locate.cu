// The teacher's and the student's centres as ops of their own.
#include "dark.cuh"

namespace hhd::cuda {
namespace {

template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, kMinBlocks)
    locate_teacher_kernel(Plan plan, View maps, View centers, Refine refine, GaussianKernel blur) {
  using A = Accumulator<T>;
  const Block<T> block(plan, maps);
  block.stage(maps, plan.wide_in, narrow<T>(-kInfinity<A>));
  barrier();
  block.each_map([&](Team<A>& team, Joint joint, int) {
    const Source<T> map = block.source(maps, plan.wide_in, joint);
    const TeacherPeak<A> peak = teacher_peak(team, map, block.strips(team.thread, team.threads));
    const bool refines = refine == Refine::kDark && !peak.has_nan && peak.max > 0;
    const Point<A> center =
        refines ? dark_center(team, map, blur, peak.at, peak.max) : peak.center();
    if (team.thread == 0) write_point(centers, joint.b, joint.k, center);
  });
}

template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, kMinBlocks)
    locate_student_kernel(Plan plan, View logits, View teacher_centers, View centers,
                          Locating<Accumulator<T>> locating, Beta<Accumulator<T>> beta) {
  using A = Accumulator<T>;
  const Block<T> block(plan, logits);
  const bool looks = locating.mode != Locate::kPeak;
  if (looks) block.stage(logits, plan.wide_in, narrow<T>(-kInfinity<A>));
  barrier();
  block.each_map([&](Team<A>& team, Joint joint, int) {
    const Source<T> map = block.source(logits, plan.wide_in, joint);
    const Strips strips = block.strips(team.thread, team.threads);
    const Point<A> t = read_point<A>(teacher_centers, joint.b, joint.k);
    Point<A> s = t;
    if (looks) {
      const Peak<A> peak = find_peak(team, map, strips);
      if (locating.mode == Locate::kPublished) {
        s = published_center(team, map, strips, locating, peak.value, t);
      } else {
        const Pixel at = pixel_of(peak, map);
        const Frame<A> box = place(debiasing_box(locating), static_cast<A>(at.x),
                                   static_cast<A>(at.y), map.height, map.width);
        const Exponential<A> exponential{peak.value, beta};
        s = debiased_center(map, measure(team, map, strips, exponential, box), box, locating, t);
      }
    }
    if (team.thread == 0) write_point(centers, joint.b, joint.k, s);
  });
}

}  // namespace

void locate_teacher(const View& maps, const View& centers, Refine refine, int64_t blur_kernel,
                    Stream stream) {
  const GaussianKernel blur(refine == Refine::kDark ? blur_kernel : 1);
  with_type(maps.dtype, [&](auto stored) {
    using T = decltype(stored);
    const Plan plan = plan_maps(maps, nullptr, sizeof(T));
    launch(locate_teacher_kernel<T>, plan.blocks, plan.threads, plan.shared_bytes, stream, plan,
           maps, centers, refine, blur);
  });
}

void locate_student(const View& logits, const View& teacher_centers, const View& centers,
                    Locate mode, double beta, int64_t window_h, int64_t window_w, Stream stream) {
  with_type(logits.dtype, [&](auto stored) {
    using T = decltype(stored);
    using A = Accumulator<T>;
    const Plan plan = plan_maps(logits, nullptr, sizeof(T));
    launch(locate_student_kernel<T>, plan.blocks, plan.threads, plan.shared_bytes, stream, plan,
           logits, teacher_centers, centers, Locating<A>(mode, window_h, window_w, logits),
           Beta<A>::of(beta));
  });
}

}  // namespace hhd::cuda
