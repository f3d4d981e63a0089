"""Cached crops: the same pictures, by whichever process, and nothing of a damaged or old one."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from hhd.cli import main
from hhd.data.augment import Augmentation
from hhd.data.cache import CropCache
from hhd.data.coco import read_persons
from hhd.data.dataset import CropDataset

SIZE = (64, 64)


@pytest.fixture
def persons(people, lsp14):
    return read_persons(people / "annotations.json", people / "images", lsp14)


def cache_of(folder, persons, room=1.5):
    return CropCache(folder, persons, input_size=SIZE, padding=1.25, room=room)


def crops_of(persons, skeleton, pictures, augmentation=None):
    data = CropDataset(
        persons, skeleton, input_size=SIZE, stride=2, augmentation=augmentation, pictures=pictures
    )
    return [data[index] for index in range(len(data))]


def test_a_cached_crop_is_the_crop(persons, lsp14, tmp_path):
    cache = cache_of(tmp_path, persons)
    mild = Augmentation(scale_factor=0.1, rotation_factor=10.0)
    plain, cached = (crops_of(persons, lsp14, pictures, mild) for pictures in (None, cache))
    for one, other in zip(plain, cached, strict=True):
        np.testing.assert_array_equal(one["coords"], other["coords"])
        np.testing.assert_allclose(one["to_image"], other["to_image"])
        # Read twice between pixels instead of once; noise in the pictures is smoothed by it.
        difference = np.abs(one["image"].astype(float) - other["image"])
        assert difference.mean() < 8
    again = crops_of(persons, lsp14, cache_of(tmp_path, persons), mild)
    for one, other in zip(cached, again, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])


def test_what_is_cached_is_not_decoded_again(persons, tmp_path, monkeypatch):
    cache = cache_of(tmp_path, persons)
    for person in persons:
        cache.read(person)

    def refuse(*_arguments):
        raise AssertionError("decoded")

    monkeypatch.setattr("hhd.data.cache.read_picture", refuse)
    again = cache_of(tmp_path, persons)
    for person in persons:
        again.read(person)
    again.crops[3, 0, 0, 0] ^= 1
    damaged = cache_of(tmp_path, persons)
    damaged.read(persons[2])
    with pytest.raises(AssertionError, match="decoded"):
        damaged.read(persons[3])


def test_changed_pictures_and_boxes_are_new_files(persons, tmp_path):
    names = set()
    names.add(cache_of(tmp_path, persons)._name())
    names.add(cache_of(tmp_path, persons[:-1])._name())
    names.add(cache_of(tmp_path, persons, room=1.25)._name())
    status = persons[0].image.stat()
    os.utime(persons[0].image, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    names.add(cache_of(tmp_path, persons)._name())
    assert len(names) == 4
    os.utime(persons[0].image, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_broken_file_is_named(persons, tmp_path):
    cache_of(tmp_path, persons)
    (path,) = (p for p in tmp_path.glob("crops-*.npy") if "known" not in p.name)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=f"cache {path} is damaged: remove it"):
        cache_of(tmp_path, persons)


def test_processes_and_kills_leave_the_same_bytes(people, tmp_path):
    """Three fill one cache at once and are killed; then one ends it."""
    words = ["data", "cache", "demo_student", f"--data-root={people}", "--workers=0"]
    words += ["--train-annotations=annotations.json", "--train-images=images"]

    def files(folder: Path) -> list[bytes]:
        return [path.read_bytes() for path in sorted(folder.glob("crops-*.npy"))]

    assert main([*words, f"--cache={tmp_path}/whole"]) == 0
    slow = (
        "import sys, time\n"
        "from hhd.data import cache\n"
        "warp = cache.cv2.warpAffine\n"
        "class Slow:\n"
        "    INTER_LINEAR = cache.cv2.INTER_LINEAR\n"
        "    def warpAffine(self, *a, **k):\n"
        "        time.sleep(.05)\n"
        "        return warp(*a, **k)\n"
        "cache.cv2 = Slow()\n"
        "from hhd.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", slow, *words, f"--cache={tmp_path}/killed"]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    folder = tmp_path / "killed"
    while not (known := list(folder.glob("*.known.npy"))) or not np.load(known[0])[5:, 0].any():
        assert all(process.poll() is None for process in processes)
    for process in processes:
        process.kill()
        process.wait()
    assert not np.load(known[0])[:, 0].all()
    assert main([*words, f"--cache={folder}"]) == 0
    assert files(folder) == files(tmp_path / "whole")
    assert len(files(folder)) == 2


def test_the_command_needs_a_folder(people, capsys):
    assert main(["data", "cache", "demo_student", f"--data-root={people}"]) == 1
    assert "cache is not given; hhd data cache takes the folder to fill" in capsys.readouterr().err


def test_a_picture_of_any_decoder_is_kept_as_it_is(persons, tmp_path):
    cache = cache_of(tmp_path, persons, room=1.0)
    pixels, matrix, width = cache.read(persons[0])
    picture = cv2.imread(str(persons[0].image))
    assert width == picture.shape[1]
    np.testing.assert_array_equal(pixels, cv2.warpAffine(picture, matrix, SIZE))
