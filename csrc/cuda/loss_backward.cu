// The saved gradient times the upstream factor.
#include "maps.cuh"

namespace hhd::cuda {
namespace {

template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, kMinBlocks)
    loss_backward_kernel(Plan plan, View grad, View factor, View out) {
  using A = Accumulator<T>;
  const A by = read<A>(factor, 0);
  if (by == 1 && grad.data == out.data) return;
  const Block<T> block(plan, grad);
  block.stage(grad, plan.wide_in, narrow<T>(0));
  barrier();
  block.each_map([&](Team<A>& team, Joint joint, int) {
    const Source<T> map = block.source(grad, plan.wide_in, joint);
    const Sink<T> sink = block.sink(out, joint);
    block.strips(team.thread, team.threads).each_vector([&](int y, int x) {
      A v[kLanes<T>];
      map.vector(y, x, v);
      for (int i = 0; i < kLanes<T>; ++i) v[i] *= by;
      sink.vector(y, x, v);
    });
  });
  block.flush(out);
}

// Whether two tensors fill their memory in the same order, without gaps.
bool same_order(const View& a, const View& b) {
  int64_t reach = 1;
  for (int step = 0; step < 4; ++step) {
    int next = -1;
    for (int d = 0; d < 4; ++d) {
      if (a.size[d] > 1 && a.stride[d] != b.stride[d]) return false;
      if (a.size[d] > 1 && a.stride[d] == reach) next = d;
    }
    if (next >= 0) reach *= a.size[next];
  }
  return reach == a.size[0] * a.size[1] * a.size[2] * a.size[3];
}

View in_order(View v) {
  v.stride[3] = 1;
  for (int d = 2; d >= 0; --d) v.stride[d] = v.stride[d + 1] * v.size[d + 1];
  return v;
}

}  // namespace

void loss_backward(const View& grad, const View& factor, const View& out, Stream stream) {
  if (grad.dtype != out.dtype)
    throw std::runtime_error("loss_backward: grad is not of out's dtype");
  // Where both have one order in memory, it does not matter which element is whose.
  const bool flat = same_order(grad, out);
  const View from = flat ? in_order(grad) : grad, to = flat ? in_order(out) : out;
  with_type(out.dtype, [&](auto stored) {
    using T = decltype(stored);
    const Plan plan = plan_maps(from, &to, sizeof(T));
    launch(loss_backward_kernel<T>, plan.blocks, plan.threads, plan.shared_bytes, stream, plan,
           from, factor, to);
  });
}

}  // namespace hhd::cuda
