"""The moving average of the weights against torch's own."""

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from hhd.models import build_model
from hhd.train.average import MovingAverage


def test_it_is_torchs_but_for_the_counters():
    torch.manual_seed(0)
    model = build_model("small_student", 3)
    ours = MovingAverage(model, 0.9)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)
    for _ in range(4):
        with torch.no_grad():
            for tensor in (*model.parameters(), *model.buffers()):
                tensor.add_(torch.ones_like(tensor) if tensor.dtype == torch.long else 0.3)
        ours.update_parameters(model)
        theirs.update_parameters(model)
    expected = theirs.state_dict()
    for name, tensor in ours.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert int(tensor) == 4
        else:
            assert torch.equal(tensor, expected[name]), name
