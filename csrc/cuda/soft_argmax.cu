// Soft-argmax over the map or over a window around its peak, and its gradient.
#include "locate.cuh"

namespace hhd::cuda {
namespace {

// The pixels an expectation runs over.
struct Box {
  int top, bottom, left, right;

  HHD_DEVICE bool holds(int y, int x) const {
    return y >= top && y < bottom && x >= left && x < right;
  }
};

HHD_DEVICE Box box_around(Pixel peak, int reach, int height, int width) {
  return {max_of(peak.y - reach, 0), min_of(peak.y + reach + 1, height), max_of(peak.x - reach, 0),
          min_of(peak.x + reach + 1, width)};
}

template <class A>
struct SoftArgmax {
  Exponential<A> exponential;
  Mass<A> mass;  // of the whole map
  Box box;
  A x, y, sum;  // expectation and mass in the box
};

// `window` 0: the whole map.
template <class T>
HHD_DEVICE SoftArgmax<Accumulator<T>> compute(Team<Accumulator<T>>& team, const Source<T>& map,
                                              const Strips& strips,
                                              const Beta<Accumulator<T>>& beta, int64_t window) {
  using A = Accumulator<T>;
  const Peak<A> peak = find_peak(team, map, strips);
  const Exponential<A> exponential{peak.value, beta};
  const Mass<A> mass = measure(team, map, strips, exponential, Frame<A>{});
  const Box all{0, map.height, 0, map.width};
  // A map with NaN has no peak, and NaN for coordinates.
  if (window == 0 || is_nan(mass.sum)) return {exponential, mass, all, mass.x, mass.y, mass.sum};
  const int reach = static_cast<int>(min_of<int64_t>(window / 2, max_of(map.height, map.width)));
  const Box box = box_around(pixel_of(peak, map), reach, map.height, map.width);
  A sums[3] = {0, 0, 0};
  const int columns = box.right - box.left;
  const int64_t pixels = static_cast<int64_t>(box.bottom - box.top) * columns;
#pragma unroll 1
  for (int64_t n = team.thread; n < pixels; n += team.threads) {
    const int y = box.top + static_cast<int>(n / columns);
    const int x = box.left + static_cast<int>(n % columns);
    const A e = exponential(map.at(y, x));
    sums[0] += e;
    sums[1] += e * static_cast<A>(x);
    sums[2] += e * static_cast<A>(y);
  }
  team.sum(sums);
  return {exponential, mass, box, sums[1] / sums[0], sums[2] / sums[0], sums[0]};
}

template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, kMinBlocks)
    soft_argmax_kernel(Plan plan, View logits, View coords, View confidence,
                       Beta<Accumulator<T>> beta, int64_t window) {
  using A = Accumulator<T>;
  const Block<T> block(plan, logits);
  block.stage(logits, plan.wide_in, narrow<T>(-kInfinity<A>));
  barrier();
  block.each_map([&](Team<A>& team, Joint joint, int) {
    const Source<T> map = block.source(logits, plan.wide_in, joint);
    const SoftArgmax<A> found =
        compute(team, map, block.strips(team.thread, team.threads), beta, window);
    if (team.warp() != 0) return;
    const A near = mass_around(team, map, found.exponential, found.mass, found.x, found.y);
    if (team.lane() != 0) return;
    write_point(coords, joint.b, joint.k, Point<A>{found.x, found.y});
    store(elements<A>(confidence, offset_of(confidence, joint.b, joint.k)), near);
  });
}

template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, kMinBlocks)
    soft_argmax_backward_kernel(Plan plan, View grad_coords, View logits, View out,
                                Beta<Accumulator<T>> beta, int64_t window) {
  using A = Accumulator<T>;
  const Block<T> block(plan, logits);
  block.stage(logits, plan.wide_in, narrow<T>(-kInfinity<A>));
  barrier();
  block.each_map([&](Team<A>& team, Joint joint, int) {
    const Strips strips = block.strips(team.thread, team.threads);
    const Source<T> map = block.source(logits, plan.wide_in, joint);
    const Sink<T> sink = block.sink(out, joint);
    const SoftArgmax<A> found = compute(team, map, strips, beta, window);
    const Point<A> upstream = read_point<A>(grad_coords, joint.b, joint.k);
    const A gx = upstream.x * (beta.value / found.sum), gy = upstream.y * (beta.value / found.sum);
    each_vector(map, strips, [&](int y, int x, const A(&s)[kLanes<T>]) {
      A v[kLanes<T>];
      const A base = gy * (static_cast<A>(y) - found.y) - gx * found.x;
      for (int i = 0; i < kLanes<T>; ++i) {
        v[i] = found.box.holds(y, x + i)
                   ? found.exponential(s[i]) * (base + gx * static_cast<A>(x + i))
                   : A(0);
      }
      sink.vector(y, x, v);
    });
  });
  block.flush(out);
}

}  // namespace

void soft_argmax(const View& logits, const View& coords, const View& confidence,
                 const SoftArgmaxArgs& args, Stream stream) {
  with_type(logits.dtype, [&](auto stored) {
    using T = decltype(stored);
    const Plan plan = plan_maps(logits, nullptr, sizeof(T));
    launch(soft_argmax_kernel<T>, plan.blocks, plan.threads, plan.shared_bytes, stream, plan,
           logits, coords, confidence, Beta<Accumulator<T>>::of(args.beta), args.window);
  });
}

void soft_argmax_backward(const View& grad_coords, const View& logits, const View& out,
                          const SoftArgmaxArgs& args, Stream stream) {
  with_type(logits.dtype, [&](auto stored) {
    using T = decltype(stored);
    const Plan plan = plan_maps(logits, &out, sizeof(T));
    launch(soft_argmax_backward_kernel<T>, plan.blocks, plan.threads, plan.shared_bytes, stream,
           plan, grad_coords, logits, out, Beta<Accumulator<T>>::of(args.beta), args.window);
  });
}

}  // namespace hhd::cuda
