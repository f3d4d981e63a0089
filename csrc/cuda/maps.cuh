// From memory to a team and back: maps are read once into shared memory and written once.
//
// A block takes one map, or a group of joints where joints are innermost in memory (channels_last):
// a sector of 32 bytes then holds eight float32 joints of one pixel, and a block that took one
// joint would use an eighth of what it fetches. COCO's K = 17 has a pixel every 68 bytes; a group
// of n joints meets 1 + (n - 1) / 8 sectors of each pixel on average, so m groups ask for
// m + (17 - m) / 8 where 17 / 8 are unique: 1.8 times the unique ones for two groups, 2.2 for
// three. The whole instance in float32 (209 KB) fits no shared memory but sm_90's and sm_100's, and
// there leaves nothing to overlap with; so a group is as large as lets two blocks share an SM. For
// 64x48 in float32 that is 9 joints on sm_90 and sm_100 (6 where the loss's windows take their part
// of the memory), 6 on sm_80 and 4 on sm_120 (3); in 16-bit storage twice as many, all 17 on sm_90
// and sm_100. The groups of an instance run side by side and L2 answers the sectors they share.
//
// A map that does not fit on chip is read again wherever it is needed, by the same code.
#pragma once

#include <stdexcept>
#include <string>

#include "reduce.cuh"

namespace hhd::cuda {

// How a launch handles its maps; made on the host.
struct Plan {
  int joints;          // a block's
  int threads;         // a block's
  int team_threads;    // a map's: a warp each in a group, else the block
  bool grouped;        // joints innermost, several a block
  bool staged;         // maps pass through shared memory
  bool cells_on_chip;  // so do a window's cells
  bool wide_in;        // rows are whole vectors of 16 bytes, in memory too
  bool wide_out;
  bool through_planes;  // results go out through the shared memory that the maps came in
  int padded;           // a row in shared memory, whole vectors
  int64_t plane;        // a map in shared memory, elements
  int planes;           // a joint's: 2 where two tensors are read
  int64_t groups;       // an instance's blocks
  int64_t blocks;
  int64_t team_bytes;  // each team's own memory, after the scratch
  int64_t planes_at;   // elements from the start of shared memory, after the teams' own
  // A thread's next vector: rows down, in its strip, or columns across. See Strips.
  int strip_rows, strip_columns;
  int64_t shared_bytes;
};

inline bool joints_are_innermost(const View& v) {
  return v.stride[1] == 1 && v.stride[3] != 1 && v.size[1] > 1;
}

inline bool rows_are_vectors(const View& v, int64_t lanes) {
  if (v.stride[3] != 1 || v.size[3] % lanes != 0) return false;
  if (reinterpret_cast<uintptr_t>(v.data) % 16 != 0) return false;
  for (int d = 0; d < 3; ++d) {
    if (v.size[d] > 1 && v.stride[d] % lanes != 0) return false;
  }
  return true;
}

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// The vectors of a thread, below one another, as far as there are threads: 32 values, which
// registers hold; enough to hide latency, few enough to end together.
HHD_HOST_DEVICE constexpr int held_vectors(int64_t lanes) { return lanes == 8 ? 4 : 8; }

// `out` may be null. `team_bytes` of shared memory for each team, `cells_bytes` more where they
// are to be had.
inline Plan plan_maps(const View& in, const View* out, int64_t element_bytes, int planes = 1,
                      int64_t cells_bytes = 0, int64_t team_bytes = 0) {
  constexpr int64_t kLongest = int64_t{1} << 29;
  if (in.size[2] > kLongest || in.size[3] > kLongest) {
    throw std::runtime_error("maps of more than 2^29 rows or columns");
  }
  const int64_t lanes = 16 / element_bytes, joints = in.size[1], limit = shared_memory_limit();
  Plan plan{};
  plan.padded = static_cast<int>(round_up(in.size[3], lanes));
  // The extra vector keeps a group's planes from starting in the same bank.
  plan.plane = in.size[2] * plan.padded + lanes;
  plan.planes = planes;
  const int64_t map_bytes = planes * plan.plane * element_bytes;
  plan.cells_on_chip = cells_bytes <= limit / 2;
  plan.team_bytes = round_up(team_bytes + (plan.cells_on_chip ? cells_bytes : 0), 16);
  plan.staged = map_bytes + kScratchBytes + plan.team_bytes <= limit;
  plan.joints = 1;
  if (plan.staged && joints_are_innermost(in)) {
    // Each resident block costs a kilobyte beside its own.
    const int64_t room = (limit - 1024) / 2 - kScratchBytes;
    const int64_t most = max_of<int64_t>(1, room / (map_bytes + plan.team_bytes));
    const int64_t groups = (joints + most - 1) / most;
    plan.joints = static_cast<int>((joints + groups - 1) / groups);
  }
  plan.grouped = plan.joints > 1;
  plan.groups = (joints + plan.joints - 1) / plan.joints;
  plan.blocks = in.size[0] * plan.groups;
  int teams = 1;
  plan.team_threads = kWarp;
  if (plan.grouped) {
    const int rounds = (plan.joints + kMaxWarps - 1) / kMaxWarps;
    teams = (plan.joints + rounds - 1) / rounds;
  } else {
    const int64_t below = held_vectors(lanes), rows = (in.size[2] + below - 1) / below;
    const int64_t vectors = plan.padded / lanes * rows;
    plan.team_threads = static_cast<int>(min_of<int64_t>(round_up(vectors, kWarp), kMaxThreads));
  }
  plan.threads = teams * plan.team_threads;
  plan.wide_in = rows_are_vectors(in, lanes);
  plan.wide_out = out != nullptr && rows_are_vectors(*out, lanes);
  // Without cells on chip the gradient of one pixel looks at the map around it.
  plan.through_planes = plan.staged && !plan.wide_out && (plan.cells_on_chip || cells_bytes == 0);
  const int across = static_cast<int>(plan.padded / lanes);
  plan.strip_rows = max_of(plan.team_threads / across, 1);
  plan.strip_columns =
      across > plan.team_threads ? plan.team_threads * static_cast<int>(lanes) : plan.padded;
  const int64_t before_planes = kScratchBytes + teams * plan.team_bytes;
  plan.planes_at = before_planes / element_bytes;
  plan.shared_bytes = before_planes + (plan.staged ? plan.joints * map_bytes : 0);
  return plan;
}

// Indices of elements in three nested loops, of which a thread takes every `threads`-th.
class Walk {
 public:
  HHD_DEVICE Walk(int thread, int threads, int middles, int inners)
      : outer(thread / inners / middles),
        middle(thread / inners % middles),
        inner(thread % inners),
        middles_(middles),
        inners_(inners),
        step_outer_(threads / inners / middles),
        step_middle_(threads / inners % middles),
        step_inner_(threads % inners) {}

  HHD_DEVICE void next() {
    inner += step_inner_;
    middle += step_middle_;
    outer += step_outer_;
    if (inner >= inners_) {
      inner -= inners_;
      ++middle;
    }
    if (middle >= middles_) {
      middle -= middles_;
      ++outer;
    }
  }

  int outer, middle, inner;

 private:
  int middles_, inners_;
  int step_outer_, step_middle_, step_inner_;
};

// One map to read: in shared memory, or where it has always been. Places in shared memory are kept
// as indices, so that the compiler sees which memory an access goes to. kStaged: known to be there.
template <class T, bool kStaged = false>
struct Source {
  using A = Accumulator<T>;

  const View& view;
  int64_t offset;  // of the map in the view, elements
  int plane;       // of the map in shared memory, elements; -1: read from global memory
  bool wide;
  int height, width, padded;

  // The vector that starts at column x; past the width it holds -inf.
  HHD_DEVICE void vector(int y, int x, A (&v)[kLanes<T>]) const {
    if (kStaged || plane >= 0) {
      unpack<T>(load_shared(on_chip(y, x)), v);
    } else if (wide) {
      unpack<T>(load(in_memory(y, x)), v);
    } else {
      const T* from = global(y, x);
#pragma unroll
      for (int i = 0; i < kLanes<T>; ++i, from += view.stride[3]) {
        v[i] = x + i < width ? widen(load(from)) : -kInfinity<A>;
      }
    }
  }

  HHD_DEVICE A at(int y, int x) const {
    return kStaged || plane >= 0 ? widen(shared_memory<T>()[plane + y * padded + x])
                                 : widen(load(global(y, x)));
  }

  // Where whole vectors are.
  HHD_DEVICE Vector16* on_chip(int y, int x) const {
    return reinterpret_cast<Vector16*>(shared_memory<T>() + plane + y * padded + x);
  }
  HHD_DEVICE const Vector16* in_memory(int y, int x) const {
    return reinterpret_cast<const Vector16*>(global(y, x));
  }
  HHD_DEVICE int64_t vectors_down(int rows) const { return rows * view.stride[2] / kLanes<T>; }

 private:
  HHD_DEVICE const T* global(int y, int x) const {
    return elements<T>(view, offset + y * view.stride[2] + x * view.stride[3]);
  }
};

// One map to write. kWide: known to go straight to memory, in whole vectors.
template <class T, bool kWide = false>
struct Sink {
  using A = Accumulator<T>;

  const View& view;
  int64_t offset;
  int plane;  // where the block collects its results; -1: they go straight to memory
  bool wide;
  int width, padded;

  HHD_DEVICE void vector(int y, int x, const A (&v)[kLanes<T>]) const {
    if (!kWide && plane >= 0) {
      T* to = shared_memory<T>() + plane + y * padded + x;
      store_shared(reinterpret_cast<Vector16*>(to), pack<T>(v));
    } else if (kWide || wide) {
      store(in_memory(y, x), pack<T>(v));
    } else {
      T* to = global(y, x);
#pragma unroll
      for (int i = 0; i < kLanes<T>; ++i, to += view.stride[3]) {
        if (x + i < width) store(to, narrow<T>(v[i]));
      }
    }
  }

  HHD_DEVICE void element(int y, int x, A v) const {
    if (!kWide && plane >= 0) {
      shared_memory<T>()[plane + y * padded + x] = narrow<T>(v);
    } else {
      store(global(y, x), narrow<T>(v));
    }
  }

  // Where whole vectors are.
  HHD_DEVICE Vector16* in_memory(int y, int x) const {
    return reinterpret_cast<Vector16*>(global(y, x));
  }
  HHD_DEVICE int64_t vectors_down(int rows) const { return rows * view.stride[2] / kLanes<T>; }

 private:
  HHD_DEVICE T* global(int y, int x) const {
    return elements<T>(view, offset + y * view.stride[2] + x * view.stride[3]);
  }
};

// The vectors of a map that a thread takes: strips of vectors below one another, mostly a single
// one, so that what depends on the column is computed once.
class Strips {
 public:
  HHD_DEVICE Strips(const Plan& plan, int thread, int threads, int height, int lanes)
      : plan_(plan),
        height_(height),
        x_(thread % (plan.padded / lanes) * lanes),
        y_(thread / (plan.padded / lanes)) {
    // Threads that are left over have nothing to do.
    if (threads * lanes > plan.padded && y_ >= plan.strip_rows) y_ = height;
  }

  // Calls f(x) for every strip; within it, each_row(f) calls f(y).
  template <class F>
  HHD_DEVICE void each(const F& f) const {
#pragma unroll 1
    for (int x = x_; x < plan_.padded; x += plan_.strip_columns) f(x);
  }
  template <class F>
  HHD_DEVICE void each_row(const F& f) const {
#pragma unroll 1
    for (int y = y_; y < height_; y += plan_.strip_rows) f(y);
  }

  // The first strip's column and row, and how far below the next row is.
  HHD_DEVICE int x() const { return x_; }
  HHD_DEVICE int y() const { return y_; }
  HHD_DEVICE int rows() const { return plan_.strip_rows; }
  HHD_DEVICE int height() const { return height_; }

  // Calls f(y, x) for every vector.
  template <class F>
  HHD_DEVICE void each_vector(const F& f) const {
    each([&](int x) { each_row([&](int y) { f(y, x); }); });
  }

 private:
  const Plan& plan_;
  const int height_;
  int x_, y_;
};

// One of a block's joints: of instance b the k-th, of the block's own number `at`.
struct Joint {
  int b, k, at;
};

// What a block sees of its maps.
template <class T>
class Block {
 public:
  HHD_DEVICE Block(const Plan& plan, const View& maps)
      : plan(plan),
        height(static_cast<int>(maps.size[2])),
        width(static_cast<int>(maps.size[3])),
        maps_(maps) {}

  // The first of the block's joints, and how many they are. A grid has fewer blocks than 2^31.
  HHD_DEVICE Joint first() const {
    const int index = anew(static_cast<int>(block_index())), groups = static_cast<int>(plan.groups);
    return {index / groups, index % groups * plan.joints, 0};
  }
  HHD_DEVICE int count() const {
    return min_of(plan.joints, static_cast<int>(maps_.size[1]) - first().k);
  }

  // Copies the joints' maps into their planes, of each joint's the one numbered `which`. Padding
  // becomes `fill`. A barrier must follow.
  HHD_DEVICE void stage(const View& v, bool wide, T fill, int which = 0) const {
    if (!plan.staged) return;
    const T* global = elements<T>(v, offset_of(v, first().b, first().k));
    if (!wide) return stage_elements(v, global, fill, which);
    const int joints = count(), team = thread_index() / plan.team_threads;
    for (int j = team; j < joints; j += block_threads() / plan.team_threads) {
      T* to = shared_memory<T>() + plane(j, which);
      const T* from = global + j * v.stride[1];
      strips(thread_index() % plan.team_threads, plan.team_threads).each_vector([&](int y, int x) {
        copy_async(to + y * plan.padded + x, from + y * v.stride[2] + x);
      });
    }
    await_copies();
  }

  // The planes' results to where they belong, once all are written.
  HHD_DEVICE void flush(const View& v) const {
    if (!plan.through_planes) return;
    barrier();
    T* global = elements<T>(v, offset_of(v, first().b, first().k));
#pragma unroll 4
    for (Elements at(*this, v); at.more(); at.next()) {
      if (at.x() < width)
        store(global + at.offset(v), shared_memory<T>()[plane(0, 0) + at.in_planes()]);
    }
  }

  // kStaged: where the plan says so.
  template <bool kStaged = false>
  HHD_DEVICE Source<T, kStaged> source(const View& v, bool wide, Joint joint, int which = 0) const {
    const int at = plan.staged ? plane(joint.at, which) : -1;
    return {v, offset_of(v, joint.b, joint.k), at, wide, height, width, plan.padded};
  }

  template <bool kWide = false>
  HHD_DEVICE Sink<T, kWide> sink(const View& v, Joint joint) const {
    const int at = plan.through_planes ? plane(joint.at, 0) : -1;
    return {v, offset_of(v, joint.b, joint.k), at, plan.wide_out, width, plan.padded};
  }

  HHD_DEVICE Strips strips(int thread, int threads) const {
    return {plan, thread, threads, height, kLanes<T>};
  }

  // Calls f(team, joint, memory) for the maps that this thread's team handles; `memory` is the
  // team's own, bytes from the start of shared memory.
  template <class F>
  HHD_DEVICE void each_map(const F& f) const {
#pragma unroll 1
    for (int j = thread_index() / plan.team_threads; j < count();
         j += block_threads() / plan.team_threads) {
      const int thread = anew(thread_index()), number = thread / plan.team_threads;
      Team<Accumulator<T>> team(thread % plan.team_threads, plan.team_threads);
      Joint joint = first();
      joint.at = anew(j);
      joint.k += joint.at;
      f(team, joint, kScratchBytes + number * static_cast<int>(plan.team_bytes));
      if (plan.grouped) warp_barrier();  // before the next joint takes the team's memory
    }
  }

  const Plan& plan;
  const int height, width;

 private:
  // A place in shared memory, elements.
  HHD_DEVICE int plane(int j, int which) const {
    return static_cast<int>(plan.planes_at) +
           (j * plan.planes + which) * static_cast<int>(plan.plane);
  }

  // The elements of a block's maps, padding included, that a thread takes: neighbours in memory
  // side by side.
  class Elements {
   public:
    HHD_DEVICE Elements(const Block& block, const View& v)
        : transposed_(magnitude(v.stride[2]) < magnitude(v.stride[3])),
          end_(transposed_ ? block.plan.padded : block.height),
          padded_(block.plan.padded),
          planes_(static_cast<int>(block.plan.plane) * block.plan.planes),
          at_(thread_index(), block_threads(), transposed_ ? block.height : padded_,
              block.count()) {}

    HHD_DEVICE bool more() const { return at_.outer < end_; }
    HHD_DEVICE void next() { at_.next(); }
    HHD_DEVICE int y() const { return transposed_ ? at_.middle : at_.outer; }
    HHD_DEVICE int x() const { return transposed_ ? at_.outer : at_.middle; }
    HHD_DEVICE int in_planes() const { return at_.inner * planes_ + y() * padded_ + x(); }
    HHD_DEVICE int64_t offset(const View& v) const {
      return at_.inner * v.stride[1] + y() * v.stride[2] + x() * v.stride[3];
    }

   private:
    HHD_DEVICE static int64_t magnitude(int64_t n) { return n < 0 ? -n : n; }

    bool transposed_;
    int end_, padded_, planes_;
    Walk at_;
  };

  const View& maps_;

  HHD_DEVICE void stage_elements(const View& v, const T* global, T fill, int which) const {
    // Eight elements a thread are under way at once: no store may come between their loads.
    constexpr int kBatch = 8;
    T value[kBatch];
    int to[kBatch];
#pragma unroll 1
    for (Elements at(*this, v); at.more();) {
#pragma unroll
      for (int i = 0; i < kBatch; ++i, at.next()) {
        to[i] = at.more() ? at.in_planes() : -1;
        value[i] = at.more() && at.x() < width ? load(global + at.offset(v)) : fill;
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        if (to[i] >= 0) shared_memory<T>()[plane(0, which) + to[i]] = value[i];
      }
    }
  }
};

}  // namespace hhd::cuda
