// Soft-argmax, coordinate loss and HHD loss of every joint, with the gradient: each map is read
// once and its gradient written once.
#pragma once

#include "hhd_loss.h"
#include "locate.h"

namespace hhd::HHD_ISA {

template <class A>
struct CoordinateTerm {
  A loss;
  A slope_x, slope_y;  // d loss / d (x, y)
};

template <class A>
HHD_INLINE A coordinate_loss_1d(CoordinateLoss kind, A d, A transition, A* slope) {
  const A size = abs_of(d);
  const A sign = static_cast<A>((d > 0) - (d < 0));
  switch (kind) {
    case CoordinateLoss::kL1:
      *slope = is_nan(d) ? d : sign;
      return size;
    case CoordinateLoss::kSmoothL1:
      *slope = size < transition ? d / transition : is_nan(d) ? d : sign;
      return size < transition ? d * d / (2 * transition) : size - transition / 2;
    default:
      *slope = 2 * d;
      return d * d;
  }
}

// The mean over the two axes.
template <class A>
HHD_INLINE CoordinateTerm<A> coordinate_term(const LossArgs& args, A dx, A dy) {
  const A inverse_x = static_cast<A>(1 / args.unit[0]),
          inverse_y = static_cast<A>(1 / args.unit[1]);
  const A transition = static_cast<A>(args.transition);
  A slope_x, slope_y;
  const A loss = coordinate_loss_1d(args.coordinate_loss, dx * inverse_x, transition, &slope_x) +
                 coordinate_loss_1d(args.coordinate_loss, dy * inverse_y, transition, &slope_y);
  return {loss / 2, slope_x * inverse_x / 2, slope_y * inverse_y / 2};
}

enum class Linear { kNone, kValue, kSign, kStep };

template <Linear kLinear, class A>
HHD_INLINE Vec<A> norm_slope(Vec<A> s, Vec<A> inverse_norm) {
  const Vec<A> one = splat(A(1));
  if constexpr (kLinear == Linear::kValue) return s * inverse_norm;
  if constexpr (kLinear == Linear::kSign) return s > 0 ? one : (s < 0 ? -one : s);
  return s > 0 ? one : Vec<A>{};
}

// Writes the gradient of a map; `softmax` may be empty where there is none in the loss. What is
// taken by value, or copied, stays in registers (see MapWriter).
template <class A, bool kSoftmax, Linear kLinear, class Length>
HHD_INLINE void write_gradient_rows(const Gradient<A> g, const Plane<A> map, const Plane<A> e,
                                    const A* columns, const WindowFrame<A>& frame,
                                    const HhdBuffers<A>& buffers, Length width,
                                    const MapWriter<A> writer) {
  const A* cover_x = frame.x.cover();
  const Vec<A> slope_x = splat(g.slope_x), uncovered = splat(g.uncovered);
  const Vec<A> linear = splat(g.linear), inverse_norm = splat(g.inverse_norm);
  const auto add_linear = [&](const A* s, auto n, Vec<A> v) {
    if constexpr (kLinear == Linear::kNone) return v;
    return v + linear * norm_slope<kLinear, A>(load_part(s, n, A(0)), inverse_norm);
  };
  for (int64_t i = 0; i < map.height; ++i) {
    const A* s_row = map.row(i);
    const A* e_row = kSoftmax ? e.row(i) : nullptr;
    const A base = g.constant + g.slope_y * static_cast<A>(i);
    if (i >= g.first && i < g.last) {
      const A* patch = buffers.patch(i);
      const Vec<A> row_base = splat(base), cover = splat(frame.y.cover()[i]);
      writer.write_row(i, width, [&](int64_t x, auto n) {
        Vec<A> v = load(patch + x);
        if constexpr (kSoftmax) {
          const Vec<A> rest = (1 - cover * load(cover_x + x)) * uncovered;
          v += load(e_row + x) * (row_base + slope_x * load(columns + x) + rest);
        }
        return add_linear(s_row + x, n, v);
      });
    } else {
      const Vec<A> row_base = splat(base + g.uncovered);
      writer.write_row(i, width, [&](int64_t x, auto n) {
        Vec<A> v{};
        if constexpr (kSoftmax) v = load(e_row + x) * (row_base + slope_x * load(columns + x));
        return add_linear(s_row + x, n, v);
      });
    }
  }
}

template <class A, bool kSoftmax, Linear kLinear>
void write_gradient(const Gradient<A>& g, const Plane<A>& map, const Softmax<A>& softmax,
                    const A* columns, const WindowFrame<A>& frame, const HhdBuffers<A>& buffers,
                    const MapWriter<A>& writer) {
  with_row_length<A>(map.width, [&](auto width) {
    write_gradient_rows<A, kSoftmax, kLinear>(g, map, softmax.e, columns, frame, buffers, width,
                                              writer);
  });
}

template <class A>
class JointLoss {
 public:
  JointLoss(const LossViews& views, const LossArgs& args)
      : views_(views),
        args_(args),
        height_(views.logits.size[2]),
        width_(views.logits.size[3]),
        wants_coords_(views.coords.data != nullptr),
        uses_softmax_(wants_coords_ || args.divergence == Divergence::kKl ||
                      args.normalize == Normalize::kSoftmax || args.locate == Locate::kDebiased),
        reader_(views.logits),
        writer_(views.grad.data != nullptr ? views.grad : views.logits, reader_.planes_of_unit()),
        softmax_(height_, width_),
        student_(args.window, height_, width_),
        teacher_(args.window, height_, width_),
        buffers_(args.window, height_, width_),
        cover_y_(height_),
        cover_x_(round_up_to_lanes<A>(width_)) {}

  void run(int64_t begin, int64_t end) {
    for (int64_t index = begin; index < end; ++index) {
      const Unit unit = unit_at(views_.logits, index);
      for (int64_t j = 0; j < unit.count; ++j) joint(unit, j);
      if (views_.grad.data != nullptr) writer_.finish_unit(unit);
    }
  }

 private:
  HHD_INLINE A weight(const View& view, const Unit& unit, int64_t j) const {
    if (view.data == nullptr) return 1;
    return read<A>(view, offset_of(view, unit.b, unit.k + j));
  }

  HHD_INLINE Point<A> point(const View& view, const Unit& unit, int64_t j) const {
    const int64_t offset = offset_of(view, unit.b, unit.k + j);
    return {read<A>(view, offset), read<A>(view, offset + view.stride[2])};
  }

  void joint(const Unit& unit, int64_t j) {
    const int64_t n = unit.b * views_.logits.size[1] + unit.k + j;
    const A w = views_.target_coords.data == nullptr ? 0 : weight(views_.weight, unit, j);
    const A w_hhd = weight(views_.teacher_weight, unit, j);
    views_.coordinate_terms[n] = views_.hhd_terms[n] = 0;
    const Plane<A> map = reader_.plane_to_scan(unit, j);
    if (!wants_coords_ && w_hhd == 0) return no_gradient(unit, j);

    const MapSums<A> sums = args_.locate == Locate::kPublished
                                ? scan<Scan::kStudentWithSum>(map, args_.normalize)
                                : scan<Scan::kStudent>(map, args_.normalize);
    const bool has_grad = views_.grad.data != nullptr;
    Softmax<A> p{};
    if (uses_softmax_) {
      p = softmax_.compute(map, sums.max, args_.beta,
                           has_grad ? writer_.map(unit, j).destination() : Destination{});
    }
    if (wants_coords_) {
      const int64_t at = offset_of(views_.coords, unit.b, unit.k + j);
      write(views_.coords, at, p.x);
      write(views_.coords, at + views_.coords.stride[2], p.y);
      write(views_.confidence, offset_of(views_.confidence, unit.b, unit.k + j),
            mass_around(p, p.x, p.y));
    }

    Gradient<A> g{};
    if (w != 0) add_coordinate_term(unit, j, n, w, p, g);
    if (w_hhd != 0) add_hhd_term(unit, j, n, w_hhd, map, sums, p, g);
    if (w == 0 && w_hhd == 0) return no_gradient(unit, j);
    if (!has_grad) return;
    const double loss = views_.coordinate_terms[n] + views_.hhd_terms[n];
    if (is_nan(loss)) return writer_.fill_map(unit, j, static_cast<A>(loss));
    write_map(unit, j, map, p, g);
  }

  HHD_INLINE void no_gradient(const Unit& unit, int64_t j) {
    if (views_.grad.data != nullptr) writer_.fill_map(unit, j, A(0));
  }

  HHD_INLINE void add_coordinate_term(const Unit& unit, int64_t j, int64_t n, A w,
                                      const Softmax<A>& p, Gradient<A>& g) {
    const Point<A> target = point(views_.target_coords, unit, j);
    const CoordinateTerm<A> term =
        coordinate_term(args_, p.x - finite_or_nan(target.x), p.y - finite_or_nan(target.y));
    views_.coordinate_terms[n] = static_cast<double>(w) * static_cast<double>(term.loss);
    const A factor =
        static_cast<A>(args_.coordinate_scale * static_cast<double>(w) * args_.beta) / p.sum;
    g.slope_x = factor * term.slope_x;
    g.slope_y = factor * term.slope_y;
    g.constant = -(g.slope_x * p.x + g.slope_y * p.y);
  }

  HHD_INLINE void add_hhd_term(const Unit& unit, int64_t j, int64_t n, A w, const Plane<A>& map,
                               const MapSums<A>& sums, const Softmax<A>& p, Gradient<A>& g) {
    const Point<A> t = point(views_.centers, unit, j);
    const Point<A> s = student_center(map, sums, p, t);
    student_.place(s.x, s.y);
    const bool same = s.x == t.x && s.y == t.y;
    if (!same) teacher_.place(t.x, t.y);
    const WindowFrame<A>& teacher = same ? student_ : teacher_;
    if (!read_teacher(unit, j) || !is_finite(t.x) || !is_finite(t.y)) {
      views_.hhd_terms[n] = __builtin_nan("");
      return;
    }
    const A beta = static_cast<A>(args_.beta);
    const A scale = static_cast<A>(args_.hhd_scale * static_cast<double>(w));
    const auto take = [&](const auto& term) {
      views_.hhd_terms[n] = static_cast<double>(w) * static_cast<double>(term.loss());
      if (views_.grad.data != nullptr) term.add_gradient(scale, g);
    };
    if (args_.divergence == Divergence::kKl) {
      take(WindowedKl<A>(map, p, student_, teacher, beta, buffers_));
    } else {
      take(WindowedSse<A>(map, sums, p, student_, args_.normalize, beta, static_cast<A>(args_.eps),
                          buffers_));
    }
  }

  HHD_INLINE Point<A> student_center(const Plane<A>& map, const MapSums<A>& sums,
                                     const Softmax<A>& p, Point<A> t) {
    const int64_t h = args_.window.height, w = args_.window.width;
    switch (args_.locate) {
      case Locate::kPublished:
        return published_center(map, sums, t, h, w);
      case Locate::kDebiased:
        return debiased_center(map, p, t, h, w, cover_y_.get(), cover_x_.get());
      default:
        return t;
    }
  }

  // False where a cell is not finite.
  HHD_INLINE bool read_teacher(const Unit& unit, int64_t j) {
    // Local copies: a store could change any member, as far as the compiler knows.
    const View v = views_.windows;
    const int64_t height = args_.window.height, width = args_.window.width;
    const int64_t stride = buffers_.stride;
    const bool plain = v.dtype == dtype_of<A>() && v.stride[3] == 1;
    int64_t at = offset_of(v, unit.b, unit.k + j);
    A* row = buffers_.teacher();
    Vec<A> zero{};
    for (int64_t n = 0; n < height; ++n, row += stride, at += v.stride[2]) {
      if (!plain) read_strided(v, at, v.stride[3], width, row);
      for_vectors<A>(plain ? static_cast<const A*>(address(v, at)) : row, width,
                     [&](int64_t m, Vec<A> cells) {
                       store(row + m, cells);
                       zero += cells - cells;
                     });
    }
    return sum_lanes<A>(zero) == 0;
  }

  HHD_INLINE void write_map(const Unit& unit, int64_t j, const Plane<A>& map, const Softmax<A>& p,
                            const Gradient<A>& g) {
    const auto write = [&](auto write_with) {
      write_with(g, map, p, softmax_.columns(), student_, buffers_, writer_.map(unit, j));
    };
    if (uses_softmax_) {
      write_with_linear<true>(g.linear, write);
    } else {
      write_with_linear<false>(g.linear, write);
    }
  }

  template <bool kSoftmax, class Write>
  HHD_INLINE void write_with_linear(A linear, const Write& write) {
    // A norm that does not enter must not meet the logits: 0 times infinity is NaN.
    switch (linear == 0 ? Normalize::kNone : args_.normalize) {
      case Normalize::kL1:
        return write(write_gradient<A, kSoftmax, Linear::kSign>);
      case Normalize::kL2:
        return write(write_gradient<A, kSoftmax, Linear::kValue>);
      case Normalize::kL1Positive:
        return write(write_gradient<A, kSoftmax, Linear::kStep>);
      default:
        return write(write_gradient<A, kSoftmax, Linear::kNone>);
    }
  }

  const LossViews& views_;
  const LossArgs& args_;
  const int64_t height_, width_;
  const bool wants_coords_, uses_softmax_;
  Reader<A> reader_;
  Writer<A> writer_;
  SoftmaxBuffers<A> softmax_;
  WindowFrame<A> student_, teacher_;
  HhdBuffers<A> buffers_;
  Buffer<A> cover_y_, cover_x_;
};

template <class A>
void joint_loss(const LossViews& views, const LossArgs& args, int64_t begin, int64_t end) {
  JointLoss<A>(views, args).run(begin, end);
}

}  // namespace hhd::HHD_ISA
