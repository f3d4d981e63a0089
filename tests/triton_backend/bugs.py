"""Bugs that small cases let through, planted in the Triton kernels' sources.

The interpreter has no warps, no reductions over several of them and no vectors of memory, so that
those of `executor/bugs.py` that are about them have no like here.
"""

from planted import Bug

CHOICE = "(({wrong}) if bugs.chosen == {number} else ({right}))"
"""In the kernels' sources, which import this module."""

chosen = 0
"""The number of the bug that runs, from 1; 0: none."""

BUGS = [
    Bug(
        "the gradient's scale is ignored without weights",
        "joint_loss.py",
        "if @:\n        scale = scale * tl.load(grad_scale)",
        "grad_scale is not None",
        "grad_scale is not None and weight_sum is not None",
        "unweighted_and_scaled",
    ),
    Bug(
        "the first block of terms is all",
        "joint_loss.py",
        "for first in range(0, @, BLOCK):",
        "count",
        "BLOCK",
        "many_strided_weights",
    ),
    Bug(
        "a coordinate of weight 0 counts, times 0",
        "joint_loss.py",
        "coordinate_term = @\n",
        "tl.where(labelled, w * ((loss_x + loss_y) / 2), 0.0)",
        "w * ((loss_x + loss_y) / 2)",
        "nan_of_weight_zero",
    ),
    Bug(
        "the last joint is dropped",
        "maps.py",
        "return b, n % joints, @",
        "b < instances",
        "(b < instances) & (n != instances * joints - 1)",
        "joints_innermost",
    ),
    Bug(
        "the last program is dropped",
        "launch.py",
        "return @\n\n\ndef run",
        'triton.cdiv(maps.shape[0] * maps.shape[1], block["G"])',
        'maps.shape[0] * maps.shape[1] // block["G"]',
        "joints_innermost",
    ),
    Bug(
        "an instance's offset has 32 bits",
        "maps.py",
        "return view.data + (@ + k * view.stride_k)",
        "b * view.stride_b",
        "(b * view.stride_b).to(tl.int32)",
        "far_apart",
    ),
    Bug(
        "a row's offset has 32 bits",
        "maps.py",
        "offset = @ + x.to(tl.int64) * m.stride_w",
        "i.to(tl.int64) * m.stride_h",
        "(i.to(tl.int64) * m.stride_h).to(tl.int32)",
        "far_apart",
    ),
    Bug(
        "a wide map's second tile is misplaced",
        "maps.py",
        "x += @\n",
        "(tile % across) * x.shape[2]",
        "(tile % across) * (x.shape[2] - 8)",
        "wide_maps",
    ),
    Bug(
        "a map's first tiles are all",
        "maps.py",
        "return @\n\n\n@triton.jit\ndef pixels_of",
        "tl.cdiv(m.height, m.rows.shape[1]) * tl.cdiv(m.width, m.columns.shape[2])",
        "tl.cdiv(m.width, m.columns.shape[2])",
        "wide_maps",
    ),
    Bug(
        "a blur's rows are twenty",
        "locate.py",
        "for row in range(@):",
        "TAPS + 4",
        "min(TAPS + 4, 20)",
        "wide_blur",
    ),
    Bug(
        "a factor of 1 leaves nothing to do",
        "hhd_loss.py",
        "if @:  # where the factor",
        "IN_PLACE",
        "True",
        "scaled_by_one",
    ),
    Bug(
        "a target's first tile of cells is all",
        "teacher_targets.py",
        "for tile in range(@):\n        n, c = cell_tile",
        "((CELLS_Y + P - 1) // P) * ((CELLS_X + Q - 1) // Q)",
        "1",
        "large_windows",
    ),
    Bug(
        "a gradient's first tile of cells is all",
        "divergence.py",
        "for tile in range(@):\n        p, q = cell_tile",
        "((N + P) // P) * ((M + Q) // Q)",
        "1",
        "large_windows",
    ),
]
