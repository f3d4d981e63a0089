// The kernels of one instruction set: this file is compiled once for each, under HHD_ISA.
#include "joint_loss.h"
#include "normalize.h"
#include "soft_argmax.h"
#include "teacher_targets.h"

#define HHD_STRING_OF(x) #x
#define HHD_STRING(x) HHD_STRING_OF(x)
#define HHD_JOIN_OF(a, b) a##b
#define HHD_JOIN(a, b) HHD_JOIN_OF(a, b)

namespace hhd {
namespace HHD_ISA {

template <class A>
void scale(const View& x, const View& out, double factor, int64_t begin, int64_t end) {
  Reader<A> reader(x);
  Writer<A> writer(out, reader.planes_of_unit());
  const Vec<A> by = splat(static_cast<A>(factor));
  for (int64_t index = begin; index < end; ++index) {
    const Unit unit = unit_at(x, index);
    for (int64_t j = 0; j < unit.count; ++j) {
      const Plane<A> map = reader.plane(unit, j);
      write_rows(map, writer, unit, j, [&](int64_t i) {
        return
            [&, row = map.row(i)](int64_t c, auto n) { return load_part(row + c, n, A(0)) * by; };
      });
    }
    writer.finish_unit(unit);
  }
}

double sum(const View& weights) {
  double total = 0;
  for (int64_t b = 0; b < weights.size[0]; ++b) {
    for (int64_t k = 0; k < weights.size[1]; ++k) {
      total += read<double>(weights, offset_of(weights, b, k));
    }
  }
  return total;
}

template <class A>
constexpr Ops kOps = {
    normalize<A>,       normalize_backward<A>, soft_argmax<A>, soft_argmax_backward<A>,
    locate_teacher<A>,  locate_student<A>,     crop<A>,        crop_backward<A>,
    teacher_targets<A>, joint_loss<A>,         scale<A>,       sum,
};

int64_t units(const View& maps) {
  const int64_t joints = joints_per_unit(maps);
  return maps.size[0] * ((maps.size[1] + joints - 1) / joints);
}

}  // namespace HHD_ISA

const Kernels& HHD_JOIN(kernels_, HHD_ISA)() {
  static constexpr Kernels table = {HHD_STRING(HHD_ISA), HHD_ISA::kOps<float>,
                                    HHD_ISA::kOps<double>, HHD_ISA::units};
  return table;
}

}  // namespace hhd
