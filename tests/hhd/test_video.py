"""Videos: read, predicted frame by frame, drawn and written, whole or not at all."""

import json
import os
import signal

import numpy as np
import pytest

from hhd import Pose, video
from hhd.cli import main
from hhd.predict import predict_video

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE = (75, 121)  # odd, as no codec likes it


@pytest.fixture
def clip(tmp_path):
    """Seven frames of a bright block that moves to the right."""
    path = tmp_path / "clip.mp4"
    with video.writing_video(path, 10.0) as file:
        for number in range(7):
            frame = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
            frame[40:80, 5 + 8 * number : 20 + 8 * number] = 255
            file.write(frame)
    return path


def test_what_is_written_is_read(clip):
    read = video.Video(clip)
    assert (read.rate, read.count) == (10, 7)
    frames = list(read)
    assert [frame.shape for frame in frames] == [(SIZE[1] + 1, SIZE[0] + 1, 3)] * 7
    for number, frame in enumerate(frames):
        middle = frame[60].max(axis=1).astype(float)
        assert abs((middle * np.arange(SIZE[0] + 1)).sum() / middle.sum() - 12 - 8 * number) < 1.5
    assert [p.name for p in clip.parent.iterdir()] == ["clip.mp4"]


def test_a_videos_frames_are_predicted_as_pictures_are(clip, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        main(
            [
                "predict",
                str(clip),
                f"--output={out}",
                "--frames=5",
                "--batch-size=3",
                "--min-confidence=0",
            ]
        )
        == 0
    )
    assert f"5 frames of {clip} in {out}" in capsys.readouterr().out
    rows = json.loads((out / "clip.json").read_text())
    assert [(row["frame"], row["seconds"]) for row in rows] == [(i, i / 10) for i in range(5)]
    pose = Pose()
    frames = list(video.Video(clip))
    for row, frame in zip(rows, frames, strict=False):
        (person,) = pose(frame)
        found = [[joint["x"], joint["y"]] for joint in row["people"][0]["joints"]]
        np.testing.assert_allclose(found, person.keypoints, atol=0.02)
    drawn = list(video.Video(out / "clip.mp4"))
    assert len(drawn) == 5
    coloured = [np.ptp(frame.astype(int), axis=2).max() for frame in drawn]
    assert min(coloured) > 60 > max(np.ptp(frame.astype(int), axis=2).max() for frame in frames)


def test_an_interrupt_keeps_the_frames_before_it(clip, tmp_path):
    def boxes(name, frame):
        boxes.asked += 1
        if boxes.asked == 5:
            raise KeyboardInterrupt

    boxes.asked = 0
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        predict_video(Pose(batch_size=1), clip, out, boxes)
    assert sorted(path.name for path in out.iterdir()) == ["clip.json", "clip.mp4"]
    rows = json.loads((out / "clip.json").read_text())
    assert len(rows) == len(list(video.Video(out / "clip.mp4"))) == 4


def test_no_link_in_the_output_is_followed(clip, tmp_path):
    out, precious = tmp_path / "out", tmp_path / "precious"
    precious.write_text("years of work")
    out.mkdir()
    for name in ("clip.mp4", "clip.partial.mp4", "clip.json", "clip.json.partial"):
        (out / name).symlink_to(precious)
    assert predict_video(Pose(), clip, out) == 7
    assert precious.read_text() == "years of work"
    assert sorted(path.name for path in out.iterdir()) == ["clip.json", "clip.mp4"]
    assert not any(path.is_symlink() for path in out.iterdir())


def test_sigterm_leaves_no_part_of_a_video(clip, tmp_path, monkeypatch):
    def detector(frame):
        detector.asked += 1
        if detector.asked == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return []

    detector.asked = 0
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("hhd.commands.predict.load_detector", lambda *_: detector)
    with pytest.raises(SystemExit) as left:
        main(["predict", str(clip), "--detector=a:b", f"--output={tmp_path}/out"])
    assert left.value.code == 143
    assert not list((tmp_path / "out").glob("*.mp4"))
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_failure_leaves_no_video(clip, tmp_path):
    def boxes(name, frame):
        raise ValueError("no boxes")

    with pytest.raises(ValueError, match="no boxes"):
        predict_video(Pose(), clip, tmp_path / "out", boxes)
    assert list((tmp_path / "out").iterdir()) == []


def test_bad_videos_are_named(clip, tmp_path, capsys):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:200])
    for words, message in (
        ([str(broken)], "broken.mp4 cannot be opened as a video"),
        ([str(tmp_path / "none.mp4")], "none.mp4 does not exist"),
        ([str(clip), f"--output={tmp_path}"], "would replace it: choose another output"),
        ([str(clip), "--boxes=b.json"], "a video takes --detector"),
        (["webcam:63"], "camera 63 cannot be opened as a video"),
    ):
        assert main(["predict", *words]) == 1
        assert message in capsys.readouterr().err
    assert len(list(video.Video(clip))) == 7
