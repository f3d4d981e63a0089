// hhd_kernels._host: the core's decoding and encoding for NumPy arrays, without torch.
//
// hhd_kernels/host.py checks the arguments and words the errors; the checks here only keep a direct
// call within memory. Arrays are read in place, whatever their strides.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <type_traits>

#include "core/decode.h"
#include "core/encode.h"
#include "core/soft_argmax_host.h"

namespace py = pybind11;

namespace hhd::host {
namespace {

void Require(bool condition, const char* sentence) {
  if (!condition) throw std::invalid_argument(sentence);
}

// Calls visit(T{}) with the element type T of `maps`.
template <typename Visit>
py::tuple WithElementType(const py::array& maps, const Visit& visit) {
  Require(maps.dtype().byteorder() == '=', "maps must have the machine's byte order");
  switch (maps.dtype().char_()) {
    case 'e':
      return visit(Half{});
    case 'f':
      return visit(float{});
    case 'd':
      return visit(double{});
    default:
      throw py::type_error("maps must be float16, float32 or float64");
  }
}

// Reads every map of [B, K, H, W] with read(view) -> {x, y, value}; gives ([B, K, 2], [B, K]).
template <typename Read>
py::tuple ReadMaps(const py::array& maps, const Read& read) {
  Require(maps.ndim() == 4, "maps must be [B, K, H, W]");
  Require(maps.shape(2) >= 1 && maps.shape(3) >= 1, "maps must have H, W >= 1");
  return WithElementType(maps, [&](auto element) -> py::tuple {
    using T = decltype(element);
    using Out = Wide<T>;
    const py::ssize_t batch = maps.shape(0);
    const py::ssize_t joints = maps.shape(1);
    py::array_t<Out> coords({batch, joints, py::ssize_t{2}});
    py::array_t<Out> values({batch, joints});
    const auto* data = static_cast<const char*>(maps.data());
    Out* coord = coords.mutable_data();
    Out* value = values.mutable_data();
    {
      py::gil_scoped_release release;
      for (py::ssize_t b = 0; b < batch; ++b) {
        for (py::ssize_t k = 0; k < joints; ++k) {
          const MapView<T> view{data + b * maps.strides(0) + k * maps.strides(1), maps.shape(2),
                                maps.shape(3), maps.strides(2), maps.strides(3)};
          const auto [x, y, reading] = read(view);
          *coord++ = static_cast<Out>(x);
          *coord++ = static_cast<Out>(y);
          *value++ = static_cast<Out>(reading);
        }
      }
    }
    return py::make_tuple(coords, values);
  });
}

Convention ConventionOf(bool hrnet) { return hrnet ? Convention::kHrnet : Convention::kMmpose; }

py::tuple DecodePlainMaps(const py::array& maps, bool hrnet) {
  return ReadMaps(maps, [&](const auto& map) { return DecodePlain(map, ConventionOf(hrnet)); });
}

py::tuple DecodeQuarterMaps(const py::array& maps, bool hrnet) {
  return ReadMaps(maps, [&](const auto& map) { return DecodeQuarter(map, ConventionOf(hrnet)); });
}

py::tuple DecodeDarkMaps(const py::array& maps, int blur_kernel, bool hrnet) {
  Require(blur_kernel >= 1 && blur_kernel % 2 == 1, "blur_kernel must be odd and positive");
  const GaussianKernel kernel(blur_kernel);
  return ReadMaps(maps,
                  [&](const auto& map) { return DecodeDark(map, kernel, ConventionOf(hrnet)); });
}

py::tuple SoftArgmaxMaps(const py::array& logits, double beta, int window) {
  Require(window >= 0, "window must not be negative");
  return ReadMaps(logits, [&](const auto& map) { return SoftArgmax(map, beta, window); });
}

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Draw = float (TargetEncoder::*)(const Joint&, float*);

// Draws joints [N, 3] of (x, y, visible); gives (maps [N, H, W], weights [N]).
template <Draw draw>
py::tuple Encode(const Doubles& joints, std::int64_t height, std::int64_t width, double sigma) {
  Require(joints.ndim() == 2 && joints.shape(1) == 3, "joints must be [N, 3]");
  Require(height >= 1 && width >= 1, "height and width must be >= 1");
  const py::ssize_t count = joints.shape(0);
  py::array_t<float> maps({count, py::ssize_t{height}, py::ssize_t{width}});
  py::array_t<float> weights({count});
  const double* joint = joints.data();
  float* map = maps.mutable_data();
  float* weight = weights.mutable_data();
  {
    py::gil_scoped_release release;
    TargetEncoder encoder(height, width, sigma);
    for (py::ssize_t n = 0; n < count; ++n, joint += 3, map += height * width) {
      *weight++ = (encoder.*draw)({joint[0], joint[1], joint[2]}, map);
    }
  }
  return py::make_tuple(maps, weights);
}

}  // namespace
}  // namespace hhd::host

// Without state of its own the module needs no GIL on a free-threaded Python.
PYBIND11_MODULE(_host, module, py::mod_gil_not_used()) {
  namespace host = hhd::host;
  module.def("decode_plain", &host::DecodePlainMaps, py::arg("maps"), py::arg("hrnet"));
  module.def("decode_quarter", &host::DecodeQuarterMaps, py::arg("maps"), py::arg("hrnet"));
  module.def("decode_dark", &host::DecodeDarkMaps, py::arg("maps"), py::arg("blur_kernel"),
             py::arg("hrnet"));
  module.def("soft_argmax", &host::SoftArgmaxMaps, py::arg("logits"), py::arg("beta"),
             py::arg("window"));
  module.def("encode_msra", &host::Encode<&host::TargetEncoder::Msra>, py::arg("joints"),
             py::arg("height"), py::arg("width"), py::arg("sigma"));
  module.def("encode_dark", &host::Encode<&host::TargetEncoder::Dark>, py::arg("joints"),
             py::arg("height"), py::arg("width"), py::arg("sigma"));
}
