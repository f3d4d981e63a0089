#include "torch_device.h"

#include <dlfcn.h>
#include <torch/csrc/stable/ops.h>

namespace hhd {
namespace {

using CurrentStream = AOTITorchError (*)(int32_t device, void** stream);

// A CPU-only torch lacks the function, and must still be able to load this library: it is found
// in the libtorch_cuda that is already there, when a tensor has come from it.
CurrentStream find_current_stream() {
  void* library = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
  void* function =
      library == nullptr ? nullptr : dlsym(library, "aoti_torch_get_current_cuda_stream");
  STD_TORCH_CHECK(function != nullptr,
                  "hhd: this process has no libtorch_cuda.so that tells the "
                  "current stream");
  return reinterpret_cast<CurrentStream>(function);
}

}  // namespace

int32_t Cuda::device_of(const Tensor& t) {
  STD_TORCH_CHECK(t.is_cuda(),
                  "hhd: the first tensor of a call must be on the GPU that others are");
  return t.get_device_index();
}

cuda::Stream Cuda::current_stream(int32_t device) {
  static const CurrentStream function = find_current_stream();
  cuda::Stream stream = nullptr;
  TORCH_ERROR_CODE_CHECK(function(device, &stream));
  return stream;
}

// It goes back to torch's allocator before the kernels have run: in the order of the stream.
Cuda::Tensor Cuda::scratch_for(const Tensor& logits, const LossViews& views) {
  const int64_t joints = views.logits.size[0] * views.logits.size[1];
  return torch::stable::new_empty(logits, {cuda::loss_scratch_bytes(joints)},
                                  torch::headeronly::ScalarType::Byte);
}

void Cuda::joint_loss(const Tensor& logits, const LossViews& views, const LossArgs& args,
                      LossReduction reduction) const {
  const Tensor scratch = scratch_for(logits, views);
  reduction.scratch = scratch.mutable_data_ptr();
  launch([&] { cuda::joint_loss(views, args, reduction, stream_); });
}

void Cuda::joint_loss_from_maps(const View& maps, const TargetsArgs& how, const Tensor& logits,
                                const LossViews& views, const LossArgs& args,
                                LossReduction reduction) const {
  const Tensor scratch = scratch_for(logits, views);
  reduction.scratch = scratch.mutable_data_ptr();
  launch([&] { cuda::joint_loss_from_maps(maps, how, views, args, reduction, stream_); });
}

}  // namespace hhd
