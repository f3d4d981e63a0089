// Normalisation of whole maps and its gradient.
#include "softmax.cuh"

namespace hhd::cuda {
namespace {

// What a map is divided by, found by the whole team; `peak` matters to the softmax.
template <class A>
struct Divisor {
  A value;
  bool floored;  // eps stands in for the norm, or there is none: nothing comes through it
  Exponential<A> exponential;
};

template <class T>
HHD_DEVICE Divisor<Accumulator<T>> find_divisor(Team<Accumulator<T>>& team, const Source<T>& map,
                                                const Strips& strips, Normalize kind,
                                                const Beta<Accumulator<T>>& beta,
                                                Accumulator<T> eps) {
  using A = Accumulator<T>;
  if (kind == Normalize::kNone) return {1, true, {}};
  if (kind == Normalize::kSoftmax) {
    const Exponential<A> exponential{find_peak(team, map, strips).value, beta};
    return {measure(team, map, strips, exponential, Frame<A>{}).sum, false, exponential};
  }
  const A norm = find_norm(team, map, strips, kind);
  return norm < eps ? Divisor<A>{eps, true, {}} : Divisor<A>{norm, false, {}};
}

// What is divided.
template <class A>
HHD_DEVICE A dividend(Normalize kind, const Exponential<A>& exponential, A s) {
  if (kind == Normalize::kSoftmax) return exponential(s);
  return kind == Normalize::kL1Positive ? positive_part(s) : s;
}

template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, kMinBlocks)
    normalize_kernel(Plan plan, View x, View out, Normalize kind, Beta<Accumulator<T>> beta,
                     Accumulator<T> eps) {
  using A = Accumulator<T>;
  const Block<T> block(plan, x);
  block.stage(x, plan.wide_in, narrow<T>(-kInfinity<A>));
  barrier();
  block.each_map([&](Team<A>& team, Joint joint, int) {
    const Strips strips = block.strips(team.thread, team.threads);
    const Source<T> map = block.source(x, plan.wide_in, joint);
    const Sink<T> sink = block.sink(out, joint);
    const Divisor<A> divisor = find_divisor(team, map, strips, kind, beta, eps);
    each_vector(map, strips, [&](int y, int column, const A(&s)[kLanes<T>]) {
      A v[kLanes<T>];
      for (int i = 0; i < kLanes<T>; ++i) {
        v[i] = dividend(kind, divisor.exponential, s[i]) / divisor.value;
      }
      sink.vector(y, column, v);
    });
  });
  block.flush(out);
}

template <class T>
HHD_KERNEL void HHD_LAUNCH_BOUNDS(kMaxThreads, kMinBlocks)
    normalize_backward_kernel(Plan plan, View grad, bool wide_grad, View x, View out,
                              Normalize kind, Beta<Accumulator<T>> beta, Accumulator<T> eps) {
  using A = Accumulator<T>;
  const Block<T> block(plan, x);
  block.stage(x, plan.wide_in, narrow<T>(-kInfinity<A>), 0);
  block.stage(grad, wide_grad, narrow<T>(0), 1);
  barrier();
  block.each_map([&](Team<A>& team, Joint joint, int) {
    const Strips strips = block.strips(team.thread, team.threads);
    const Source<T> map = block.source(x, plan.wide_in, joint, 0);
    const Source<T> upstream = block.source(grad, wide_grad, joint, 1);
    const Sink<T> sink = block.sink(out, joint);
    const Divisor<A> divisor = find_divisor(team, map, strips, kind, beta, eps);
    // The upstream gradient along the map, where the divisor depends on it.
    A along[1] = {0};
    if (!divisor.floored) {
      each_vector(map, strips, [&](int y, int column, const A(&s)[kLanes<T>]) {
        A g[kLanes<T>];
        upstream.vector(y, column, g);
        for (int i = 0; i < kLanes<T>; ++i) {
          if (column + i < map.width) along[0] += dividend(kind, divisor.exponential, s[i]) * g[i];
        }
      });
      team.sum(along);
      along[0] /= divisor.value;
    }
    each_vector(map, strips, [&](int y, int column, const A(&s)[kLanes<T>]) {
      A g[kLanes<T>], v[kLanes<T>];
      upstream.vector(y, column, g);
      for (int i = 0; i < kLanes<T>; ++i) {
        if (kind == Normalize::kSoftmax) {
          const A rate = beta.value / divisor.value;
          v[i] = divisor.exponential(s[i]) * rate * (g[i] - along[0]);
        } else if (kind == Normalize::kL1Positive) {
          v[i] = s[i] > 0 ? (g[i] - along[0]) / divisor.value : 0;
        } else if (divisor.floored) {
          v[i] = g[i] / divisor.value;
        } else if (kind == Normalize::kL2) {
          v[i] = (g[i] - along[0] * (s[i] / divisor.value)) / divisor.value;
        } else {
          const A sign = s[i] > 0 ? A(1) : (s[i] < 0 ? A(-1) : s[i]);
          v[i] = (g[i] - along[0] * sign) / divisor.value;
        }
      }
      sink.vector(y, column, v);
    });
  });
  block.flush(out);
}

}  // namespace

void normalize(const View& x, const View& out, Normalize kind, double beta, double eps,
               Stream stream) {
  with_type(x.dtype, [&](auto stored) {
    using T = decltype(stored);
    using A = Accumulator<T>;
    const Plan plan = plan_maps(x, &out, sizeof(T));
    launch(normalize_kernel<T>, plan.blocks, plan.threads, plan.shared_bytes, stream, plan, x, out,
           kind, Beta<A>::of(beta), static_cast<A>(eps));
  });
}

void normalize_backward(const View& grad, const View& x, const View& out, Normalize kind,
                        double beta, double eps, Stream stream) {
  if (grad.dtype != x.dtype)
    throw std::runtime_error("normalize_backward: grad is not of x's dtype");
  with_type(x.dtype, [&](auto stored) {
    using T = decltype(stored);
    using A = Accumulator<T>;
    const Plan plan = plan_maps(x, &out, sizeof(T), 2);
    launch(normalize_backward_kernel<T>, plan.blocks, plan.threads, plan.shared_bytes, stream, plan,
           grad, rows_are_vectors(grad, kLanes<T>), x, out, kind, Beta<A>::of(beta),
           static_cast<A>(eps));
  });
}

}  // namespace hhd::cuda
