"""Calls that small maps and few joints have nothing like: what a kernel that cuts its work into
blocks, warps, groups and strips can get wrong only here.

Each takes the name of the backend under test; `tests/executor` and the interpreter's process plant
bugs that these must find.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

import hhd_kernels as hk
import oracle
from kernels import test_contract_edges, test_joint_loss, test_normalize, test_teacher_targets
from kernels.calls import targets_of
from kernels.samples import as_array, loss_setup, random_maps, tensor

FAR = 2**31 + 64
"""More elements than 32 bits count, whole vectors."""


def joints_innermost(backend: str) -> None:
    """COCO's 17 joints in channels_last memory: groups of them, the last one smaller."""
    for dtype in (torch.float32, torch.bfloat16):
        dtypes = (dtype, torch.float32, torch.float32)
        setup = loss_setup(1, (1, 17, 64, 48), dtypes=dtypes, layout="channels_last")
        test_joint_loss.check(backend, setup)


def later_joints_untaught(backend: str) -> None:
    """Joints without a teacher after joints with one: a group's warps take them in turn."""
    for dtype in (torch.float32, torch.bfloat16):
        dtypes = (dtype, torch.float32, torch.float32)
        setup = loss_setup(2, (1, 17, 20, 24), dtypes=dtypes, layout="channels_last")
        taught = torch.ones(1, 17)
        weighted = setup._replace(weight=taught.clone())
        taught[:, 8:] = 0
        test_joint_loss.check(backend, weighted, teacher_weight=taught)


def many_joints(backend: str) -> None:
    """B K = 800: their terms are added up in several batches."""
    test_joint_loss.check(backend, loss_setup(3, (8, 100, 2, 3), (3, 2)))


def many_strided_weights(backend: str) -> None:
    """More weights than a block's threads have under way at once, no vectors in memory."""
    setup = loss_setup(4, (30, 100, 1, 2), (1, 2))
    assert setup.weight is not None
    strided = setup.weight.t().contiguous().t()
    test_joint_loss.check(backend, setup._replace(weight=strided))


def large_maps(backend: str) -> None:
    """96x96: more warps a map than eight."""
    test_joint_loss.check(backend, loss_setup(5, (1, 1, 96, 96)))
    for at in ((3, 5), (95, 93)):
        maps = tensor(random_maps(6, (1, 1, 96, 96)))
        maps[0, 0, at[0], at[1]] = 9.0
        test_teacher_targets.check(maps, (7, 7), "l2", sampling="nearest", border="mirror")


def held_maps(backend: str) -> None:
    """64x112, the most that a block's registers hold; exponentials need the maximum of all."""
    dtypes = (torch.float32, torch.float32, torch.float32)
    for seed in range(3):
        setup = loss_setup(seed, (1, 1, 64, 112), dtypes=dtypes, scale=40.0, weighted=False)
        test_joint_loss.check(backend, setup)


def wide_maps(backend: str) -> None:
    """Rows of more vectors than a block has threads, and then of more pixels than a tile."""
    for width in (1300, 5000):
        test_joint_loss.check(backend, loss_setup(7, (1, 1, 4, width)))
        test_normalize.check(backend, tensor(random_maps(8, (1, 1, 4, width))), "softmax")


def misaligned(backend: str) -> None:
    """Rows of whole vectors that begin four bytes, or two, beyond one."""
    for dtype in (torch.float32, torch.float16):
        dtypes = (dtype, torch.float32, torch.float32)
        setup = loss_setup(9, (1, 2, 16, 24), dtypes=dtypes)
        shifted = torch.empty(setup.logits.numel() + 1, dtype=dtype)[1:].view(setup.logits.shape)
        test_joint_loss.check(backend, setup._replace(logits=shifted.copy_(setup.logits)))


def large_windows(backend: str) -> None:
    """More cells, and more pixels under them, than a map has threads, or a tile of cells holds."""
    maps = tensor(random_maps(10, (1, 1, 16, 24), "peaked"))
    test_teacher_targets.check(maps, (15, 19), "l1_positive", sampling="nearest", border="mirror")
    test_joint_loss.check(backend, loss_setup(11, (1, 1, 16, 24), (15, 19)))


def wide_blur(backend: str) -> None:
    """DARK's blur by 35 taps, which reaches the map's other side."""
    maps = tensor(random_maps(12, (1, 2, 40, 36), "peaked"))
    found = hk.locate_teacher(maps, "dark", blur_kernel=35)
    exact = oracle.locate_teacher(as_array(maps), "dark", blur_kernel=35)
    np.testing.assert_allclose(as_array(found), exact, atol=2e-3)


def far_apart(backend: str) -> None:
    """Instances, and then rows, further apart than 2^31 elements."""
    half = (torch.float16, torch.float32, torch.float32)
    for shape, dim in (((2, 1, 8, 16), 0), ((1, 1, 2, 16), 2), ((1, 1, 2, 256), 2)):
        setup = loss_setup(13, shape, dtypes=half)
        far = setup._replace(logits=_spread(setup.logits, dim))
        for locate in ("peak", "debiased"):
            test_joint_loss.check(backend, far, locate=locate)


def _spread(maps: Tensor, dim: int) -> Tensor:
    """The same, FAR apart in one dimension; memory that nobody touches takes no room."""
    strides = list(maps.stride())
    strides[dim] = FAR
    reach = sum((n - 1) * step for n, step in zip(maps.shape, strides, strict=True)) + 1
    view = torch.empty(reach, dtype=maps.dtype).as_strided(maps.shape, strides)
    return view.copy_(maps)


def unweighted_and_scaled(backend: str) -> None:
    """A gradient's scale where no weight is given."""
    setup = loss_setup(15, (2, 2, 9, 8), weighted=False)
    inputs, scale = (setup.logits, targets_of(setup), setup.target_coords), torch.tensor(0.25)
    _, whole = hk.joint_loss_and_grad(*inputs)
    _, scaled = hk.joint_loss_and_grad(*inputs, grad_scale=scale)
    torch.testing.assert_close(scaled, 0.25 * whole, rtol=1e-6, atol=0)
    assert whole.abs().max() > 0


def taught_by_maps(backend: str) -> None:
    """Maps in the place of their targets, with weights of the coordinates and others."""
    for shape, layout in (((2, 17, 16, 24), "contiguous"), ((1, 9, 10, 7), "channels_last")):
        setup = loss_setup(17, shape, layout=layout)
        maps = tensor(abs(random_maps(18, shape, "peaked")), layout=layout)
        assert setup.weight is not None
        labels = (setup.target_coords, setup.weight, setup.weight.flip(0, 1) + 0.5)
        for reduction in ("mean", "official"):
            loss = hk.IntegralHHDLoss(reduction=reduction)
            scale = torch.tensor(0.25)
            found, grad = loss.loss_and_grad(setup.logits, maps, *labels, grad_scale=scale)
            known, wanted = loss.loss_and_grad(
                setup.logits, loss.targets(maps), *labels, grad_scale=scale
            )
            torch.testing.assert_close(grad, wanted, rtol=1e-6, atol=0)
            for one, other in zip(found, known, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-6, atol=0)


def scaled_by_one(backend: str) -> None:
    """A gradient times 1 in another tensor: every element is written there."""
    grad = tensor(random_maps(16, (1, 2, 9, 8)))
    ops = torch.ops.hhd_triton if backend == "triton" else torch.ops.hhd
    found = ops.loss_backward(grad, torch.tensor(1.0), torch.empty_like(grad))
    assert torch.equal(found, grad)


def nan_of_weight_zero(backend: str) -> None:
    """A coordinate that is not a number, of a joint that does not count."""
    for kind in ("l1", "smooth_l1", "l2"):
        test_contract_edges.test_weights_select_coordinates(backend, kind)


CASES: dict[str, Callable[[str], None]] = {
    case.__name__: case
    for case in (
        joints_innermost,
        later_joints_untaught,
        many_joints,
        many_strided_weights,
        large_maps,
        held_maps,
        wide_maps,
        misaligned,
        large_windows,
        wide_blur,
        far_apart,
        unweighted_and_scaled,
        taught_by_maps,
        scaled_by_one,
        nan_of_weight_zero,
    )
}
