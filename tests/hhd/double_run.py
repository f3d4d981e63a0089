"""``python double_run.py WORDS``: hhd in float64, where rounding cannot hide a difference."""

import sys

import torch

from hhd.cli import main
from hhd.evaluation import decode
from hhd.train import loop

torch.set_default_dtype(torch.float64)
normalise = loop.normalise_images
for module in (loop, decode):
    module.normalise_images = lambda images: normalise(images.float()).double()

sys.exit(main(sys.argv[1:]))
