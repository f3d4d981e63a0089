"""Joints of a person by a file of ``hhd export``: NumPy, OpenCV and ONNX Runtime, no torch.

    pip install numpy opencv-python-headless onnxruntime
    python onnxruntime_decode.py student.onnx picture.jpg [X Y WIDTH HEIGHT]

The box is the person's in picture pixels; without it the person fills the picture. All that a phone
has to do in its own language is ``crop``, and the two lines after ``session.run``.
"""

import json
import sys

import cv2
import numpy as np
import onnxruntime


def crop(picture, box, padding, size, affine):
    """RGB of ``size`` (width, height) around a box, and the matrix [2, 3] from picture to crop.

    Pixels are named by their centres. ``affine`` standard: as HRNet and mmpose crop; udp: corners
    on corners.
    """
    x, y, width, height = box
    center = np.array([x + width / 2, y + height / 2])
    width, height = width * padding, height * padding
    # The shorter side grows until the aspect is the crop's.
    width, height = max(width, height * size[0] / size[1]), max(height, width * size[1] / size[0])
    extent = np.array(size) - (1.0 if affine == "udp" else 0.0)
    scale = extent / [width, height]
    matrix = np.column_stack([np.diag(scale), extent / 2 - scale * center])
    pixels = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), matrix


def main(model, file, *box):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    card = session.get_modelmeta().custom_metadata_map
    picture = cv2.imread(file)
    if picture is None:
        sys.exit(f"{file} is no picture that OpenCV reads")
    padding = json.loads(card["padding"])
    if not box:
        box, padding = (0, 0, picture.shape[1], picture.shape[0]), 1.0
    size = tuple(json.loads(card["input_size"]))
    image, matrix = crop(picture, [float(side) for side in box], padding, size, card["affine"])

    (keypoints,), (confidence,) = session.run(["keypoints", "confidence"], {"images": image[None]})
    in_picture = (keypoints - matrix[:, 2]) / np.diag(matrix)

    for name, (x, y), sure in zip(json.loads(card["joints"]), in_picture, confidence, strict=True):
        print(f"{name:16} {x:9.3f} {y:9.3f} {sure:7.4f}")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 7):
        sys.exit(__doc__)
    main(*sys.argv[1:])
