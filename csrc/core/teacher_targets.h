// What distillation needs of a teacher map: its centre, the window there, its confidence.
#pragma once

#include "crop.h"
#include "locate.h"

namespace hhd::HHD_ISA {

template <class A>
void write_center(const View& centers, const Unit& unit, int64_t j, Point<A> center) {
  const int64_t offset = offset_of(centers, unit.b, unit.k + j);
  write(centers, offset, center.x);
  write(centers, offset + centers.stride[2], center.y);
}

template <class A>
void teacher_targets(const View& maps, const View& centers, const View& windows,
                     const View& confidence, const TargetsArgs& args, int64_t begin, int64_t end) {
  Reader<A> reader(maps);
  SoftmaxBuffers<A> softmax(maps.size[2], maps.size[3]);
  WindowFrame<A> frame(args.window, maps.size[2], maps.size[3]);
  Buffer<A> cells(args.window.height * args.window.width);
  for (int64_t index = begin; index < end; ++index) {
    const Unit unit = unit_at(maps, index);
    for (int64_t j = 0; j < unit.count; ++j) {
      const Plane<A> map = reader.plane_to_scan(unit, j);
      const MapSums<A> sums = scan<Scan::kTeacher>(map, args.normalize);
      const Point<A> center = teacher_peak(map, sums);
      frame.place(center.x, center.y);
      A least = static_cast<A>(args.normalize == Normalize::kL1Positive ? 0 : -__builtin_inf());
      MapSums<A> kept = sums;
      if (args.floor > 0) {
        least = max_of(least, static_cast<A>(args.floor) * sums.max);
        kept = scan_above(map, args.normalize, least);
      }
      Plane<A> source = map;
      A norm = norm_of(kept, args.normalize);
      if (norm < args.eps) norm = static_cast<A>(args.eps);
      if (args.normalize == Normalize::kSoftmax) {
        const Softmax<A> p = softmax.compute(map, sums.max, 1);
        source = p.e;
        norm = p.sum;
      }
      if (args.normalize == Normalize::kNone) norm = 1;
      frame.gather(source, least, 1 / norm, cells.get(), args.window.width);
      write_center(centers, unit, j, center);
      write_window(windows, unit.b, unit.k + j, cells.get());
      if (confidence.data == nullptr) continue;
      write(confidence, offset_of(confidence, unit.b, unit.k + j),
            sums.teacher_has_nan() ? static_cast<A>(__builtin_nan("")) : sums.max);
    }
  }
}

template <class A>
void locate_teacher(const View& maps, const View& centers, Refine refine, int64_t blur_kernel,
                    int64_t begin, int64_t end) {
  Reader<A> reader(maps);
  for (int64_t index = begin; index < end; ++index) {
    const Unit unit = unit_at(maps, index);
    for (int64_t j = 0; j < unit.count; ++j) {
      const Plane<A> map = reader.plane_to_scan(unit, j);
      const MapSums<A> sums = scan<Scan::kTeacher>(map, Normalize::kNone);
      write_center(centers, unit, j, teacher_center(map, sums, refine, blur_kernel));
    }
  }
}

template <class A>
void locate_student(const View& logits, const View& teacher_centers, const View& centers,
                    Locate mode, double beta, int64_t window_h, int64_t window_w, int64_t begin,
                    int64_t end) {
  Reader<A> reader(logits);
  SoftmaxBuffers<A> softmax(logits.size[2], logits.size[3]);
  Buffer<A> cover_y(logits.size[2]), cover_x(round_up_to_lanes<A>(logits.size[3]));
  for (int64_t index = begin; index < end; ++index) {
    const Unit unit = unit_at(logits, index);
    for (int64_t j = 0; j < unit.count; ++j) {
      const int64_t offset = offset_of(teacher_centers, unit.b, unit.k + j);
      const Point<A> t{read<A>(teacher_centers, offset),
                       read<A>(teacher_centers, offset + teacher_centers.stride[2])};
      Point<A> s = t;
      if (mode != Locate::kPeak) {
        const Plane<A> map = reader.plane_to_scan(unit, j);
        const MapSums<A> sums = scan<Scan::kStudentWithSum>(map, Normalize::kNone);
        s = mode == Locate::kPublished
                ? published_center(map, sums, t, window_h, window_w)
                : debiased_center(map, softmax.compute(map, sums.max, beta), t, window_h, window_w,
                                  cover_y.get(), cover_x.get());
      }
      write_center(centers, unit, j, s);
    }
  }
}

}  // namespace hhd::HHD_ISA
