"""The loading benchmark compares like with like."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hhd.data.dataset import CropDataset, normalise_images
from hhd.data.skeleton import load_skeleton

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks import loading


def test_bare_opencv_makes_what_the_data_set_makes(tmp_path):
    persons = loading.generated(tmp_path, loading.BATCH)
    data = CropDataset(persons, load_skeleton("coco17"), input_size=(96, 128), stride=4)
    ours = normalise_images(torch.from_numpy(data[1]["image"])[None])[0].permute(1, 2, 0)
    np.testing.assert_allclose(loading.bare(data)(2), ours, atol=1e-5)
    assert ours.std() > 0.5
    speeds = loading.measure(data, tmp_path / "cache", rounds=2, count=loading.BATCH)
    assert [len(values) for values in speeds.values()] == [2, 2, 2, 2]
    assert min(min(values) for values in speeds.values()) > 0


@pytest.mark.parametrize(("speed", "status"), [(80.0, 0), (70.0, 1)])
def test_a_loader_below_the_target_fails(monkeypatch, speed, status):
    threads = torch.get_num_threads()
    speeds = {
        "bare": [100.0] * 2,
        "loader": [speed] * 2,
        "data set": [100.0] * 2,
        "cache": [400.0] * 2,
    }
    monkeypatch.setattr(loading, "generated", lambda folder: [])
    monkeypatch.setattr(loading, "measure", lambda data, folder, rounds, count: speeds)
    monkeypatch.setattr(loading, "use_one_thread", lambda: None)
    monkeypatch.setattr(sys, "argv", ["loading"])
    try:
        assert loading.main() == status
    finally:
        torch.set_num_threads(threads)
