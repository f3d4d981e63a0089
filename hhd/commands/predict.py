"""``hhd predict [MODEL] IMAGE...``"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hhd.commands.options import add_decoding, command_parser, decoding_of
from hhd.evaluation.decode import Decoder
from hhd.models.files import load_model
from hhd.models.shipped import SHIPPED
from hhd.predict import predict_pictures


def run(words: Sequence[str]) -> None:
    """Joints of the person that fills each picture."""
    parser = command_parser(
        "predict", "Joints of the person that fills each picture, drawn and as JSON."
    )
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="[MODEL] IMAGE",
        help="pictures; before them a model.safetensors that hhd train wrote (default: the network "
        "that comes with hhd, 14 joints of one person)",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs/predict"), help="folder for pictures and JSON"
    )
    add_decoding(parser)
    parser.add_argument(
        "--min-confidence", type=float, default=0.0, help="draw joints from here on"
    )
    options = parser.parse_args(words)
    given = options.files[0].suffix == ".safetensors"
    file, *images = options.files if given else [SHIPPED, *options.files]
    if not images:
        raise ValueError(f"images: none is given beside the model {file}")
    model, card = load_model(file)
    if not given and card.source is not None:
        print(f"{file.name}: {card.source}")
    decoder = Decoder(replace(card, **decoding_of(options)))
    predict_pictures(model, decoder, images, options.output, options.min_confidence)
    print(f"pictures and predictions.json in {options.output}")
