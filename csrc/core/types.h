// What crosses the boundary between the callers (torch) and the kernels. Objects built for
// different instruction sets share this header, so it holds no code of weight.
#pragma once

#include <cstdint>

namespace hhd {

enum class DType : int32_t { kFloat32, kFloat64, kFloat16, kBFloat16 };

// The integer values are the op schemas' and hhd_kernels/options.py's.
enum class Normalize : int32_t { kNone, kL1, kL2, kSoftmax, kL1Positive };
enum class Divergence : int32_t { kSse, kKl };
enum class Locate : int32_t { kPeak, kPublished, kDebiased };
enum class Refine : int32_t { kNone, kDark };
enum class Sampling : int32_t { kNearest, kBilinear };
enum class Border : int32_t { kMirror, kMirrorPublished };
enum class CoordinateLoss : int32_t { kNone, kL1, kSmoothL1, kL2 };

// A strided [B, K, H, W] tensor; strides count elements. An output is a View whose data is written.
struct View {
  void* data;
  DType dtype;
  int64_t size[4];
  int64_t stride[4];
};

struct Window {
  int64_t height;
  int64_t width;
  Sampling sampling;
  Border border;
};

// What one call needs beside its maps. `centers` and the like are [B, K, 2] and [B, K] views
// (trailing sizes 1); a View with null data is an argument that was left out.
struct SoftArgmaxArgs {
  double beta;
  int64_t window;  // 0: the whole map
};

struct TargetsArgs {
  Window window;
  Normalize normalize;
  double eps;
  double floor;  // what is below this share of the maximum counts as 0; not of a softmax
};

struct LossArgs {
  Window window;
  Normalize normalize;
  Divergence divergence;
  Locate locate;
  double beta;
  double eps;
  CoordinateLoss coordinate_loss;
  double unit[2];  // (x, y), heatmap pixels
  double transition;
  // What a joint's loss is multiplied by in the gradient: term weight x upstream / denominator.
  double coordinate_scale;
  double hhd_scale;
};

struct LossViews {
  View logits;
  View centers;
  View windows;
  View target_coords;
  View weight;
  View teacher_weight;
  View grad;  // null data: no gradient
  View coords;
  View confidence;
  double* coordinate_terms;  // [B * K] weight x loss of each joint; the CPU's
  double* hhd_terms;         // [B * K]
};

// How the joints' losses become one: everything that depends on device memory stays there.
struct LossReduction {
  static constexpr int64_t kMean = 0, kOfficial = 1;  // options.py's Reduction
  int64_t kind;
  View grad_scale;          // one number; null data: 1
  View loss;                // one number each, of the accumulation type
  View coordinate_loss{};   // null data: not wanted (hhd_loss)
  View hhd_loss{};          // null data: not wanted (hhd_loss)
  void* scratch = nullptr;  // device memory of the CUDA kernels: see cuda/launch.h
};

// The ops for one accumulation type. Each call handles units [begin, end) of the maps: a unit is
// one joint of one instance, or up to eight where joints are innermost in memory (channels_last).
struct Ops {
  void (*normalize)(const View& x, const View& out, Normalize kind, double beta, double eps,
                    int64_t begin, int64_t end);
  void (*normalize_backward)(const View& grad, const View& x, const View& out, Normalize kind,
                             double beta, double eps, int64_t begin, int64_t end);
  void (*soft_argmax)(const View& logits, const View& coords, const View& confidence,
                      const SoftArgmaxArgs& args, int64_t begin, int64_t end);
  void (*soft_argmax_backward)(const View& grad_coords, const View& logits, const View& out,
                               const SoftArgmaxArgs& args, int64_t begin, int64_t end);
  void (*locate_teacher)(const View& maps, const View& centers, Refine refine, int64_t blur_kernel,
                         int64_t begin, int64_t end);
  void (*locate_student)(const View& logits, const View& teacher_centers, const View& centers,
                         Locate mode, double beta, int64_t window_h, int64_t window_w,
                         int64_t begin, int64_t end);
  void (*crop)(const View& maps, const View& centers, const View& out, const Window& window,
               int64_t begin, int64_t end);
  void (*crop_backward)(const View& grad, const View& centers, const View& out,
                        const Window& window, int64_t begin, int64_t end);
  void (*teacher_targets)(const View& maps, const View& centers, const View& windows,
                          const View& confidence, const TargetsArgs& args, int64_t begin,
                          int64_t end);
  void (*joint_loss)(const LossViews& views, const LossArgs& args, int64_t begin, int64_t end);
  void (*scale)(const View& x, const View& out, double factor, int64_t begin, int64_t end);
  double (*sum)(const View& weights);  // of a [B, K] view, in order
};

// The kernels of one instruction set.
struct Kernels {
  const char* name;
  Ops float32;  // also for float16 and bfloat16 storage
  Ops float64;
  int64_t (*units)(const View& maps);  // how many there are

  const Ops& ops(const View& maps) const {
    return maps.dtype == DType::kFloat64 ? float64 : float32;
  }
};

const Kernels& kernels_portable();
const Kernels& kernels_avx2();
const Kernels& kernels_avx512();

// The best set this machine has, or the one that HHD_CPU_CAPABILITY names. Throws
// std::runtime_error where that name is unknown or beyond the machine.
const Kernels& kernels();

}  // namespace hhd
