// For a loss of teacher maps: their targets, and in the same launch what comes before its joints.
#pragma once

#include "launch.h"
#include "reduction.cuh"

namespace hhd::cuda {

// Null `confidence` data: not wanted.
void teacher_targets(const View& maps, const View& centers, const View& windows,
                     const View& confidence, const TargetsArgs& args, const LossStart& start,
                     Stream stream);

}  // namespace hhd::cuda
