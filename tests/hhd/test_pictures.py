"""Pictures as a person sees them, and damage that a decoder only warns of."""

import io
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image

from hhd.cli import main
from hhd.data.picture import read_picture

RNG = np.random.default_rng(0)
SCENE = cv2.resize(RNG.integers(0, 255, (12, 16, 3)).astype(np.uint8), (160, 120))


def encode(kind: str, picture=SCENE, orientation: int | None = None) -> bytes:
    options = {"progressive": True} if kind == "progressive" else {}
    options |= {"lossless": True} if kind == "webp" else {}
    if orientation is not None:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = orientation
    file = io.BytesIO()
    form = {"jpeg": "JPEG", "progressive": "JPEG"}.get(kind, kind.upper())
    Image.fromarray(picture[:, :, ::-1]).save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
def test_pictures_are_turned_as_their_orientation_says(tmp_path, kind, orientation):
    """As OpenCV turns those formats that it turns."""
    path, plain = tmp_path / f"x.{kind}", tmp_path / f"plain.{kind}"
    path.write_bytes(encode(kind, orientation=orientation))
    plain.write_bytes(encode(kind))
    upright = {
        1: lambda p: p, 2: lambda p: p[:, ::-1], 3: lambda p: p[::-1, ::-1], 4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2), 6: lambda p: np.rot90(p, -1),
        7: lambda p: p.transpose(1, 0, 2)[::-1, ::-1], 8: lambda p: np.rot90(p),
    }[orientation]  # fmt: skip
    np.testing.assert_array_equal(read_picture(path), upright(read_picture(plain)))
    if kind == "jpeg":
        np.testing.assert_array_equal(read_picture(path), cv2.imread(str(path)))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("orientation", [2, 3, 6])
def test_every_command_sees_the_picture_upright(kites, capsys, orientation):
    """A picture stored turned, with the tag that turns it back, is the same picture."""
    upright = cv2.imread(str(kites.images / "1.png"))
    stored = {2: upright[:, ::-1], 3: upright[::-1, ::-1], 6: np.rot90(upright)}[orientation]
    model = kites.model()

    def predicted():
        out = kites.folder / "p"
        words = ["predict", str(model), str(kites.images / "1.png"), f"--output={out}"]
        assert main(words) == 0
        drawn = cv2.imread(str(out / "1.png"))
        return (out / "predictions.json").read_text(), drawn

    before = predicted()
    data = encode("png", np.ascontiguousarray(stored), orientation)
    (kites.images / "1.png").write_bytes(data)
    after = predicted()
    assert after[0] == before[0]
    np.testing.assert_array_equal(after[1], before[1])
    assert main(kites.train_words()) == 0
    assert main(kites.eval_words()) == 0
    assert main(kites.check_words("--ignore", "area")) == 0


@pytest.mark.usefixtures("one_thread")
def test_an_annotation_of_the_unturned_picture_is_named(kites, capsys):
    stored = cv2.imread(str(kites.images / "1.png"))
    (kites.images / "1.png").write_bytes(encode("png", stored, 6))
    for words in (kites.train_words(), kites.eval_words(), kites.check_words()):
        assert main(words) == 1
        text = capsys.readouterr()
        said = "has 120x160 pixels, its annotation file says 160x120, which fits only without its "
        assert f"{said}EXIF orientation (6)" in text.out + text.err


def damage(data: bytes, how: str) -> bytes:
    broken, middle = bytearray(data), len(data) // 2
    if how == "zeros":
        broken[middle : middle + 300] = bytes(300)
    elif how == "noise":
        broken[middle : middle + 300] = np.random.default_rng(1).bytes(300)
    elif how == "cut":
        del broken[middle:]
    elif how == "cut and filled":
        broken[middle:] = bytes(len(data) - middle)
    return bytes(broken)


@pytest.mark.parametrize("how", ["zeros", "noise", "cut", "cut and filled"])
@pytest.mark.parametrize("kind", ["jpeg", "progressive", "png", "gif"])
def test_damage_is_refused_by_name(tmp_path, kind, how):
    noise = np.random.default_rng(2).integers(0, 255, SCENE.shape).astype(np.uint8)
    path = tmp_path / "x.picture"
    path.write_bytes(encode(kind, noise))
    read_picture(path)
    path.write_bytes(damage(encode(kind, noise), how))
    with pytest.raises(ValueError, match=f"^image {path} (is damaged|cannot be decoded): "):
        read_picture(path)


@pytest.mark.parametrize(
    ("kind", "how"), [("webp", "cut"), ("webp", "cut and filled"), ("bmp", "cut"), ("tiff", "cut")]
)
def test_formats_without_a_checksum_are_refused_when_cut(tmp_path, kind, how):
    path = tmp_path / "x.picture"
    path.write_bytes(damage(encode(kind), how))
    with pytest.raises(ValueError, match=f"^image {path} (is damaged|cannot be decoded): "):
        read_picture(path)


def test_photographs_are_read_as_opencv_reads_them(shared_data):
    for path in sorted((shared_data / "coco_mini" / "images").iterdir())[:12]:
        np.testing.assert_array_equal(read_picture(path), cv2.imread(str(path)))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "I;16"])
def test_modes_of_png_are_read_as_opencv_reads_them(tmp_path, mode):
    path = tmp_path / "x.png"
    wide = Image.fromarray(SCENE[:, :, 0].astype(np.uint16) * 257)
    (wide if mode == "I;16" else Image.fromarray(SCENE).convert(mode)).save(path)
    np.testing.assert_array_equal(read_picture(path), cv2.imread(str(path)))


def test_a_declared_size_is_looked_at_before_anything_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (20000, 20000)).save(path)
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from hhd.data.picture import read_picture\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for size in (None, (160, 120)):\n"
        "    try: read_picture(Path(sys.argv[1]), size)\n"
        "    except ValueError as error: print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"image {path} is too large: Image size (400000000 pixels)")
    assert int(lines[-1]) < 50
    Image.new("1", (9000, 9000)).save(path)
    with pytest.raises(ValueError, match="has 9000x9000 pixels, its annotation file says 160x120"):
        read_picture(path, (160, 120))
