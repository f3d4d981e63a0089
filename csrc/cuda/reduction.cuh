// From the weights to what a joint's gradient is multiplied by, and from the joints' terms to the
// losses: sums in a fixed order, whichever block adds them up.
#pragma once

#include "maps.cuh"

namespace hhd::cuda {

// A joint's weighted losses, or a sum of such.
struct alignas(16) Terms {
  double coordinate, hhd;
};

// What the two terms' sums are divided by, and what their gradients are multiplied by.
struct Scalars {
  double denominator[2];
  double scale[2];
};

// Loads of a thread that are under way at once.
inline constexpr int kAtOnce = 8;

// The last of so many joints to be done adds their terms up, by a warp that has them all under way,
// and the last such batch the batches' sums.
inline constexpr int64_t kBatchJoints = kWarp * kAtOnce;

HHD_HOST_DEVICE int64_t batches_of(int64_t joints) {
  return (joints + kBatchJoints - 1) / kBatchJoints;
}

// The device memory of one call.
struct Scratch {
  Scalars* scalars;
  Terms* joints;
  Terms* batches;
  unsigned* done;  // joints in each batch, then batches

  HHD_HOST_DEVICE static Scratch in(void* memory, int64_t joints) {
    Scalars* const scalars = static_cast<Scalars*>(memory);
    Terms* const terms = reinterpret_cast<Terms*>(scalars + 1);
    Terms* const sums = terms + joints;
    return {scalars, terms, sums, reinterpret_cast<unsigned*>(sums + batches_of(joints))};
  }
  static int64_t bytes(int64_t joints) {
    const int64_t batches = batches_of(joints);
    return static_cast<int64_t>(sizeof(Scalars)) + (joints + batches) * int64_t{sizeof(Terms)} +
           (batches + 1) * int64_t{sizeof(unsigned)};
  }
};

// Calls item(n) for every `threads`-th n below `count`, in order and several times before add()
// takes what they gave; beyond, an item is zero.
template <class Item, class Add>
HHD_DEVICE void each_item(int thread, int threads, int64_t count, const Item& item,
                          const Add& add) {
  using Loaded = decltype(item(0));
#pragma unroll 1
  for (int64_t first = thread; first < count; first += kAtOnce * threads) {
    Loaded some[kAtOnce];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      const int64_t n = first + i * threads;
      some[i] = n < count ? item(n) : Loaded{};
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) add(some[i]);
  }
}

// The sum of weights that are stored as T.
template <class T>
HHD_DEVICE double sum_of_stored(Team<double>& team, const View& weights) {
  const T* stored = static_cast<const T*>(weights.data);
  const int64_t joints = weights.size[1], count = weights.size[0] * joints;
  double sum[1] = {0};
  if (weights.stride[0] == joints && weights.stride[1] == 1 && count % kLanes<T> == 0 &&
      reinterpret_cast<uintptr_t>(stored) % 16 == 0) {
    const auto* vectors = reinterpret_cast<const Vector16*>(stored);
    each_item(
        team.thread, team.threads, count / kLanes<T>, [&](int64_t n) { return load(vectors + n); },
        [&](const Vector16& packed) {
          Accumulator<T> values[kLanes<T>];
          unpack<T>(packed, values);
          for (const Accumulator<T> value : values) sum[0] += static_cast<double>(value);
        });
  } else {
    Walk at(team.thread, team.threads, static_cast<int>(joints), 1);
    each_item(
        team.thread, team.threads, count,
        [&](int64_t) {
          const T value = load(stored + offset_of(weights, at.outer, at.middle));
          at.next();
          return value;
        },
        [&](T value) { sum[0] += static_cast<double>(widen(value)); });
  }
  team.sum(sum);
  return sum[0];
}

HHD_DEVICE double sum_of(Team<double>& team, const View& weights) {
  switch (weights.dtype) {
    case DType::kFloat32:
      return sum_of_stored<float>(team, weights);
    case DType::kFloat64:
      return sum_of_stored<double>(team, weights);
    case DType::kFloat16:
      return sum_of_stored<Float16>(team, weights);
    default:
      return sum_of_stored<BFloat16>(team, weights);
  }
}

HHD_DEVICE double divide(double sum, double by) { return by == 0 ? 0 : sum / by; }

HHD_DEVICE void write_number(const View& v, double x) {
  if (v.data == nullptr) return;
  if (v.dtype == DType::kFloat64) {
    store(elements<double>(v, 0), x);
  } else {
    store(elements<float>(v, 0), static_cast<float>(x));
  }
}

// How the joints' terms become the losses, by the warps that have the joints.
class LossSums {
 public:
  LossSums() = default;
  // `weights`: of the two terms.
  LossSums(const LossReduction& reduction, int64_t joints, double coordinate_weight,
           double hhd_weight)
      : reduction_(reduction), joints_(joints), weights_{coordinate_weight, hhd_weight} {}

  HHD_DEVICE Scratch scratch() const { return Scratch::in(reduction_.scratch, joints_); }

  // The first lane of one warp writes a joint's terms and then counts it; the whole warp finishes
  // with what that lane got.
  HHD_DEVICE void write(int64_t joint, const Terms& terms) const {
    store(scratch().joints + joint, terms);
  }
  HHD_DEVICE unsigned count(int64_t joint) const {
    return count_up(scratch().done + joint / kBatchJoints);
  }
  HHD_DEVICE void finish(int lane, int64_t joint, unsigned before) const {
    const Scratch s = scratch();
    const int64_t batch = joint / kBatchJoints, batches = batches_of(joints_);
    const Terms* terms = s.joints + batch * kBatchJoints;
    int64_t count = min_of(kBatchJoints, joints_ - batch * kBatchJoints);
    // The batch, then all of them.
#pragma unroll 1
    for (int level = 0; level < 2 && is_last(lane, before, count); ++level) {
      const Terms sum = add_up(lane, terms, count);
      if (lane == 0 && level == 0) {
        store(s.batches + batch, sum);
        before = count_up(s.done + batches);
      } else if (lane == 0) {
        write_losses(divide(sum.coordinate, load(&s.scalars->denominator[0])),
                     divide(sum.hhd, load(&s.scalars->denominator[1])));
      }
      terms = s.batches;
      count = batches;
    }
  }

  // The means of the two terms.
  HHD_DEVICE void write_losses(double coordinate, double hhd) const {
    write_number(reduction_.loss, weights_[0] * coordinate + weights_[1] * hhd);
    write_number(reduction_.coordinate_loss, coordinate);
    write_number(reduction_.hhd_loss, hhd);
  }

 private:
  HHD_DEVICE static bool is_last(int lane, unsigned before, int64_t of) {
    if (shuffle(kFullWarp, before, 0) + 1 != of) return false;
    if (lane == 0) see_counted();
    warp_barrier();
    return true;
  }

  HHD_DEVICE static Terms add_up(int lane, const Terms* terms, int64_t count) {
    double sums[2] = {0, 0};
    each_item(
        lane, kWarp, count, [&](int64_t n) { return load(terms + n); },
        [&](const Terms& one) {
          sums[0] += one.coordinate;
          sums[1] += one.hhd;
        });
    sum_in_warp(sums);
    return {sums[0], sums[1]};
  }

  LossReduction reduction_{};
  int64_t joints_ = 0;
  double weights_[2]{};
};

// What comes before a loss's joints: none of them is done, and a block a term finds its numbers.
class LossStart {
 public:
  LossStart() = default;  // of no loss
  LossStart(const LossViews& views, const LossArgs& args, const LossReduction& reduction)
      : grad_scale_(reduction.grad_scale),
        sums_(reduction, joints_of(views), args.coordinate_scale, args.hhd_scale),
        joints_(joints_of(views)),
        blocks_(2) {
    const bool official = reduction.kind == LossReduction::kOfficial;
    const int64_t b = views.logits.size[0];
    given_ = {{static_cast<double>(joints_), static_cast<double>(official ? b : joints_)},
              {args.coordinate_scale, args.hhd_scale}};
    if (official) return;
    weight_ = views.weight;
    teacher_weight_ = views.teacher_weight;
  }

  int blocks() const { return blocks_; }
  const LossSums& sums() const { return sums_; }

  // By a whole block, whose shared memory nobody else uses.
  HHD_DEVICE void run(int64_t term) const {
    Team<double> team(thread_index(), block_threads());
    const Scratch scratch = sums_.scratch();
    const View& weights = term == 0 ? weight_ : teacher_weight_;
    double by = term == 0 ? given_.denominator[0] : given_.denominator[1];
    if (weights.data != nullptr) by = sum_of(team, weights);
    if (team.thread == 0) {
      const double upstream = grad_scale_.data != nullptr ? read<double>(grad_scale_, 0) : 1;
      const double scale = (term == 0 ? given_.scale[0] : given_.scale[1]) * upstream;
      store(&scratch.scalars->denominator[term], by);
      store(&scratch.scalars->scale[term], divide(scale, by));
    }
    if (term != 0) return;
    for (int64_t n = team.thread; n <= batches_of(joints_); n += team.threads) {
      store(scratch.done + n, 0u);
    }
    if (joints_ == 0 && team.thread == 0) sums_.write_losses(0, 0);
  }

 private:
  static int64_t joints_of(const LossViews& views) {
    return views.logits.size[0] * views.logits.size[1];
  }

  View weight_{}, teacher_weight_{};  // summed where they have data
  View grad_scale_{};
  LossSums sums_;
  int64_t joints_ = 0;
  int blocks_ = 0;
  Scalars given_{};  // what is known of them
};

}  // namespace hhd::cuda
