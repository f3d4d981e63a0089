"""A model of anybody's that calls the ops goes to ONNX by itself, through both exporters."""

import importlib.util
import warnings

import numpy as np
import pytest
import torch

import hhd_kernels as hk

pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
needs_onnxscript = pytest.mark.skipif(
    importlib.util.find_spec("onnxscript") is None, reason="onnxscript is not installed"
)

OPS = {
    "soft_argmax": lambda x: hk.soft_argmax(x, 10.0),
    "soft_argmax, local": lambda x: hk.soft_argmax(x, 10.0, window=5),
    "locate_teacher": hk.locate_teacher,
    "locate_teacher, dark": lambda x: hk.locate_teacher(x.exp(), refine="dark"),
    "locate_student, published": lambda x: hk.locate_student(
        x, hk.locate_teacher(x), mode="published"
    ),
    "locate_student, debiased": lambda x: hk.locate_student(
        x, hk.locate_teacher(x), mode="debiased", beta=4.0
    ),
    "normalize, l2": lambda x: hk.normalize(x, "l2"),
    "normalize, softmax": lambda x: hk.normalize(x, "softmax", beta=3.0),
    "normalize, l1_positive": lambda x: hk.normalize(x, "l1_positive"),
    "crop": lambda x: hk.crop(x, hk.locate_teacher(x)),
    "crop, bilinear": lambda x: hk.crop(x, hk.soft_argmax(x, 4.0)[0], sampling="bilinear"),
}
# The new exporter takes seconds a call.
BY_DYNAMO = ("soft_argmax, local", "locate_student, debiased")
CASES = [
    *(pytest.param(name, False, id=f"{name}, torchscript") for name in OPS),
    *(pytest.param(name, True, id=f"{name}, dynamo", marks=needs_onnxscript) for name in BY_DYNAMO),
]


class Model(torch.nn.Module):
    """A convolution and an op."""

    def __init__(self, op):
        super().__init__()
        torch.manual_seed(0)
        self.maps = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.op = op

    def forward(self, images):
        return self.op(self.maps(images))


def export(model, path, dynamo):
    """Export for any batch size."""
    images = torch.randn(2, 3, 12, 16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            batch = torch.export.Dim("batch", min=1, max=64)
            torch.onnx.export(
                model, (images,), path, dynamo=True, dynamic_shapes=({0: batch},), verbose=False
            )
        else:
            torch.onnx.export(
                model, (images,), path, dynamo=False, opset_version=17,
                input_names=["images"], dynamic_axes={"images": {0: "batch"}},
            )  # fmt: skip


@pytest.mark.parametrize(("name", "dynamo"), CASES)
def test_a_users_model_goes_to_onnx(tmp_path, name, dynamo):
    model, path = Model(OPS[name]).eval(), tmp_path / "model.onnx"
    export(model, path, dynamo)
    session = onnxruntime.InferenceSession(path)
    for batch in (1, 5):
        images = torch.randn(batch, 3, 12, 16)
        with torch.inference_mode():
            expected = model(images)
        expected = expected if isinstance(expected, tuple) else (expected,)
        found = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        for got, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(got, wanted.numpy(), atol=1e-4)


def test_the_op_runs_as_ever_when_the_export_is_over(tmp_path):
    """Also where the export ended in an error, and in a trace that is not ONNX's."""

    def broken(maps):
        hk.soft_argmax(maps)
        raise KeyError("broken")

    with pytest.raises(KeyError):
        export(Model(broken), tmp_path / "model.onnx", dynamo=False)
    maps = torch.randn(1, 2, 8, 8)
    default = hk.explain("soft_argmax", maps).backend
    if default == "reference":
        pytest.skip("the compiled ops are absent")
    traced = torch.jit.trace(lambda x: hk.soft_argmax(x, 2.0), maps)
    assert "hhd::soft_argmax" in str(traced.graph)


def test_a_chosen_backend_is_refused_and_not_replaced(tmp_path):
    model = Model(OPS["soft_argmax"]).eval()
    with (
        hk.use_backend("cpu"),
        pytest.raises(RuntimeError, match="'cpu' cannot run: ONNX has no operator of its kind"),
    ):
        export(model, tmp_path / "model.onnx", dynamo=False)
    with hk.use_backend("reference"):
        export(model, tmp_path / "model.onnx", dynamo=False)
