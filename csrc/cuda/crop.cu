// Crops of a window around a centre, and the adjoint in gather form.
#include "locate.cuh"

namespace hhd::cuda {
namespace {

// A thread a cell: only the windows' pixels are read.
template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, kMinBlocks)
    crop_kernel(View maps, View centers, View out, Window window, int64_t count) {
  using A = Accumulator<T>;
  const int64_t index = block_index() * block_threads() + thread_index();
  if (index >= count) return;
  const int64_t m = index % window.width, n = index / window.width % window.height;
  const int64_t map = index / (window.width * window.height);
  const int64_t b = map / maps.size[1], k = map % maps.size[1];
  const Point<A> center = read_point<A>(centers, b, k);
  const Frame<A> frame = place(window, center.x, center.y, static_cast<int>(maps.size[2]),
                               static_cast<int>(maps.size[3]));
  A sum = 0;
  const T* pixels = elements<T>(maps, offset_of(maps, b, k));
  frame.each_tap(static_cast<int>(n), static_cast<int>(m), [&](int y, int x, A w) {
    sum += w * widen(load(pixels + y * maps.stride[2] + x * maps.stride[3]));
  });
  store(elements<T>(out, offset_of(out, b, k, n, m)), narrow<T>(sum));
}

template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, kMinBlocks)
    crop_backward_kernel(Plan plan, View grad, View centers, View out, Window window) {
  using A = Accumulator<T>;
  const Block<T> block(plan, out);
  block.each_map([&](Team<A>& team, Joint joint, int) {
    const int b = joint.b, k = joint.k;
    const Sink<T> sink = block.sink(out, joint);
    const Point<A> center = read_point<A>(centers, b, k);
    const Frame<A> frame = place(window, center.x, center.y, block.height, block.width);
    block.strips(team.thread, team.threads).each_vector([&](int y, int x) {
      A v[kLanes<T>] = {};
      if (frame.touches(y, x, kLanes<T>)) {
        for (int i = 0; i < kLanes<T>; ++i) {
          frame.each_reader(y, x + i, [&](int n, int m, A w) {
            v[i] += w * read<A>(grad, offset_of(grad, b, k, n, m));
          });
        }
      }
      sink.vector(y, x, v);
    });
  });
  block.flush(out);
}

}  // namespace

void crop(const View& maps, const View& centers, const View& out, const Window& window,
          Stream stream) {
  constexpr int kThreads = 256;
  const int64_t count = out.size[0] * out.size[1] * window.height * window.width;
  with_type(maps.dtype, [&](auto stored) {
    launch(crop_kernel<decltype(stored)>, (count + kThreads - 1) / kThreads, kThreads, 0, stream,
           maps, centers, out, window, count);
  });
}

void crop_backward(const View& grad, const View& centers, const View& out, const Window& window,
                   Stream stream) {
  with_type(out.dtype, [&](auto stored) {
    using T = decltype(stored);
    const Plan plan = plan_maps(out, &out, sizeof(T));
    launch(crop_backward_kernel<T>, plan.blocks, plan.threads, plan.shared_bytes, stream, plan,
           grad, centers, out, window);
  });
}

}  // namespace hhd::cuda
