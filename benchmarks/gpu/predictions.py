"""What predictions.json says of a row, for the shapes that it is about."""

import json
from pathlib import Path

from benchmarks.report import Row

ALL = json.loads(Path(__file__).with_suffix(".json").read_text())
SHAPE = (17, 64, 48)


def beside(row: Row, batch: int, *shape: int) -> Row:
    """The row with its prediction; as it is where there is none."""
    if shape == SHAPE and row.get("layout") == "NCHW":
        for made in ALL["times"]:
            if made["batch"] == batch and all(row.get(key) == made[key] for key in KEYS):
                return row | {"predicted": made["predicted"]}
    return row


KEYS = ("op", "by", "dtype")
