"""A person's area in squared pixels, which OKS and so COCO's AP is measured in."""

from __future__ import annotations

# COCO's ranges in squared pixels; AP_medium and AP_large are not defined where one is empty.
AREA_BINS = {"medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
# A person is about this share of its box (COCO; mmpose where an annotation has no area).
AREA_OF_BOX = 0.53
# Shares of its box that a person can be: COCO's are .05 to 1. What is a share of the picture, or of
# other units, is not among them, and would make every distance large or none.
LEAST_SHARE, MOST_SHARE = 0.01, 2.0


def area_problem(area: float | None, box: tuple[float, float, float, float] | None) -> str | None:
    """Why an annotation's area cannot be, in a clause; None if it can."""
    if area is None:
        return "it has no area"
    size = None if box is None else box[2] * box[3]
    if area <= 0:
        return f"area is {area:g}; it takes squared pixels, more than 0"
    if size is not None and not LEAST_SHARE * size <= area <= MOST_SHARE * size:
        return (
            f"area is {area:g}; it takes squared pixels, and of the person's box of {size:g} it "
            f"takes from {LEAST_SHARE:g} to {MOST_SHARE:g} times that"
        )
    return None


def area_of_box(box: tuple[float, float, float, float]) -> float:
    """Squared pixels of the person that fills a box."""
    return AREA_OF_BOX * box[2] * box[3]
