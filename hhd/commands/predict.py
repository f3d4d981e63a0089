"""``hhd predict [MODEL] PICTURE...``"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hhd.commands.options import add_decoding, command_parser, decoding_of, from_up
from hhd.models.shipped import SHIPPED
from hhd.pose import Pose
from hhd.predict import find_pictures, predict_pictures, read_boxes


def run(words: Sequence[str]) -> None:
    """Poses of the persons in the boxes of each picture, or of the one who fills it."""
    parser = command_parser(
        "predict",
        "Joints of persons in pictures, drawn and as JSON. Boxes say where persons are; without "
        "them each picture is taken to be filled by one.",
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="[MODEL] PICTURE",
        help="pictures, folders of pictures, or patterns in quotes; before them a "
        "model.safetensors that hhd train wrote or an .onnx of hhd export (default: the network "
        "that comes with hhd, 14 joints of one person)",
    )
    parser.add_argument(
        "--boxes",
        type=Path,
        metavar="JSON",
        help="COCO annotations, or a list of objects with image, bbox [x, y, width, height] and "
        "score; pictures are matched by their file names, and those without a box are passed over",
    )
    parser.add_argument(
        "--box-threshold", type=float, default=0.0, help="leave out boxes that score below this"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/predict"),
        help="folder for pictures and JSON (default: runs/predict)",
    )
    add_decoding(parser)
    parser.add_argument(
        "--min-confidence", type=float, default=0.0, help="draw joints from here on"
    )
    parser.add_argument("--batch-size", type=from_up(1), default=32, help="persons at once")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto (default: auto)")
    options = parser.parse_args(words)
    given = Path(options.files[0]).suffix in (".safetensors", ".onnx")
    model = Path(options.files[0]) if given else None
    names = options.files[1:] if given else options.files
    if not names:
        raise ValueError(f"pictures: none is given beside the model {model}")
    pose = Pose(model, device=options.device, batch_size=options.batch_size, **decoding_of(options))
    images = find_pictures(names)
    boxes = None
    if options.boxes is not None:
        boxes = read_boxes(options.boxes, options.box_threshold)
        known = [image for image in images if image.name in boxes]
        if not known:
            raise ValueError(
                f"box file {options.boxes} has no box for any of the {len(images)} pictures, such "
                f"as {images[0].name}"
            )
        if len(known) < len(images):
            print(f"{len(images) - len(known)} pictures passed over, which have no box")
        images = known
    if not given and pose.card.source is not None:
        print(f"{SHIPPED.name}: {pose.card.source}")
    predict_pictures(pose, images, options.output, boxes, options.min_confidence)
    print(f"pictures and predictions.json in {options.output}")
