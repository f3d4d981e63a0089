"""The evaluation of a run: made at its start, so that what is amiss shows then."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO
from torch.utils.data import Subset

from hhd.data.coco import read_coco
from hhd.data.dataset import CropDataset
from hhd.data.loading import make_loader
from hhd.data.mpii import MpiiTruth, read_mpii_truth
from hhd.data.skeleton import Skeleton
from hhd.evaluation.coco_ap import ApRules, read_truth
from hhd.evaluation.decode import Decoder, Predictions, predict
from hhd.evaluation.report import Report, check_evaluation, score
from hhd.models.base import PoseModel
from hhd.models.files import ModelCard
from hhd.train.ownership import Stop, Terminated
from hhd.train.processes import Processes
from hhd.train.recipe import Recipe


@dataclass(frozen=True)
class Assessment:
    """What a network is evaluated on, and how."""

    recipe: Recipe
    decoder: Decoder
    data: CropDataset
    truth: COCO | None
    heads: MpiiTruth | None

    def __call__(self, model: PoseModel, processes: Processes, stop: Stop) -> Report:
        """The accuracy; every process predicts its share, and all get the same report."""
        found = self.predict(model, processes, stop)
        rules = ApRules(
            self.recipe.score, nms=self.recipe.nms, nms_threshold=self.recipe.nms_threshold
        )
        return score(
            found,
            self.data.persons,
            self.decoder.card.skeleton,
            truth=self.truth,
            ap_rules=rules,
            mpii_truth=self.heads,
        )

    def predict(self, model: PoseModel, processes: Processes, stop: Stop) -> Predictions:
        """Everybody's predictions, in the order of the data, no person twice.

        :class:`Terminated`, in every process, where one is to end.
        """
        persons = len(self.data)
        busy = min(processes.world, persons)
        own = None
        if processes.rank < busy:
            share = Subset(self.data, range(processes.rank, persons, busy))
            loader = make_loader(share, self.recipe.batch_size, self.recipe.workers)
            with suppress(Terminated):
                own = predict(model, self.decoder, loader, processes.device, stop.check)
        shares = processes.gather(own)[:busy]
        if any(share is None for share in shares):
            stop.end()
        order = np.argsort(np.concatenate([np.arange(rank, persons, busy) for rank in range(busy)]))
        return Predictions(*(np.concatenate(parts)[order] for parts in zip(*shares, strict=True)))


def build_assessment(
    recipe: Recipe, skeleton: Skeleton, card: ModelCard, data: CropDataset
) -> Assessment:
    """How the recipe evaluates ``data``; ``ValueError`` where that would fail later."""
    truth = None
    if recipe.coco_ap:
        annotations = read_coco(recipe.data_path(recipe.val_annotations), skeleton, recipe.category)
        truth = read_truth(annotations, "box" if recipe.area_of_box else "refuse")
    heads = None
    if recipe.mpii_truth is not None:
        heads = read_mpii_truth(recipe.data_path(recipe.mpii_truth))
    check_evaluation(data, skeleton, truth, heads)
    return Assessment(recipe, Decoder(card), data, truth, heads)
