"""How the work is cut: maps beyond a tile, windows beyond a tile, several maps a program."""

import numpy as np
import pytest
import torch

import hhd_kernels as hk
import oracle
from kernels import (
    test_crop,
    test_hhd_loss,
    test_joint_loss,
    test_normalize,
    test_soft_argmax,
    test_teacher_targets,
)
from kernels.calls import every, value_and_gradient
from kernels.samples import (
    KINDS,
    LAYOUTS,
    SAMPLINGS,
    as_array,
    loss_setup,
    random_centers,
    random_maps,
)
from kernels.samples import tensor as tensor_of

SHAPE = (1, 2, 9, 11)
NAMES = ["crop bilinear", "hhd_loss kl debiased", "hhd_loss published", "soft_argmax local"]


@pytest.mark.usefixtures("small_tiles")
class TestMapsBeyondATile:
    @pytest.mark.parametrize("kind", KINDS)
    def test_normalize(self, backend: str, kind: str) -> None:
        test_normalize.check(backend, tensor_of(random_maps(1, SHAPE)), kind, beta=2.0)

    @pytest.mark.parametrize("window", [None, 5])
    def test_soft_argmax(self, backend: str, window: int | None) -> None:
        test_soft_argmax.check(backend, tensor_of(random_maps(2, SHAPE, "peaked")), 4.0, window)

    @pytest.mark.parametrize("refine", ["none", "dark"])
    def test_locate_teacher(self, backend: str, refine: str) -> None:
        maps = tensor_of(random_maps(3, (1, 2, 9, 11), "peaked"))
        exact = oracle.locate_teacher(as_array(maps), refine)
        np.testing.assert_allclose(as_array(hk.locate_teacher(maps, refine)), exact, atol=2e-3)

    def test_teacher_targets(self, backend: str) -> None:
        options = {"kind": "l2", "sampling": "bilinear", "border": "mirror"}
        maps = tensor_of(random_maps(3, (1, 2, 9, 11), "peaked"))
        test_teacher_targets.check(maps, (5, 6), **options)

    def test_crop(self, backend: str) -> None:
        maps, centers = tensor_of(random_maps(4, SHAPE)), random_centers(4, SHAPE)
        test_crop.check(backend, maps, centers, (5, 6), "bilinear", "mirror")

    @pytest.mark.parametrize("form", [("kl", "softmax", "debiased"), ("sse", "l2", "published")])
    def test_hhd_loss(self, backend: str, form: tuple[str, str, str]) -> None:
        test_hhd_loss.check(backend, loss_setup(5, SHAPE), form)

    def test_joint_loss(self, backend: str) -> None:
        test_joint_loss.check(backend, loss_setup(6, SHAPE))

    def test_a_rest_that_underflows(self, backend: str) -> None:
        setup = loss_setup(7, SHAPE, scale=1e4, weighted=False)
        test_hhd_loss.check(backend, setup, ("kl", "softmax", "peak"), beta=10.0)

    def test_the_first_of_equal_peaks(self, backend: str) -> None:
        """Tiles are 8 columns wide: the tile to the right holds the earlier pixel."""
        maps = torch.zeros(1, 2, 9, 20)
        maps[0, 0, 1, 17] = maps[0, 0, 2, 3] = maps[0, 0, 7, 0] = 1.0
        maps[0, 1] = 1.0
        assert hk.locate_teacher(maps).tolist() == [[[17.0, 1.0], [0.0, 0.0]]]


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_windows_beyond_a_tile(backend: str, sampling: str) -> None:
    """Of 16 x 16 cells; one side of the window is larger than the map, too."""
    setup = loss_setup(8, (1, 1, 21, 18), (18, 35), sampling=sampling, weighted=False)
    test_hhd_loss.check(backend, setup, ("kl", "softmax", "peak"), sampling=sampling)
    maps, centers = tensor_of(random_maps(9, (1, 1, 21, 18))), random_centers(9, (1, 1, 21, 18))
    test_crop.check(backend, maps, centers, (18, 35), sampling, "mirror")


@pytest.mark.parametrize("layout", ["channels_last", "sliced"])
@pytest.mark.parametrize("name", NAMES)
def test_maps_of_a_program_do_not_meet(
    backend: str, name: str, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All maps in one program, or as the table has it, which splits instances: the same bits."""
    from triton_backend import interpreter

    setup = loss_setup(10, (2, 3, 9, 7))
    logits = LAYOUTS[layout](setup.logits)
    expected = value_and_gradient(every(setup)[name], logits)
    monkeypatch.setattr(interpreter, "MAPS_OF_A_PROGRAM", 1)
    for got, one in zip(value_and_gradient(every(setup)[name], logits), expected, strict=True):
        assert torch.equal(got, one)
