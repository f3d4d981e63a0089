"""The torch layer under the sanitizers: tensors to views and back, and torch's threads."""

from sanitize.process import Process


def test_every_op_forward_and_backward(running: dict[str, Process]) -> None:
    assert running["torch"].must_pass() == "passed"
