"""DFR: the last layer anew, on a group-balanced subset that the features were not learned from."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat

from models.algorithms.base import AbstractAlgorithm, AlgorithmSettings
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.first_model import FirstModel, FirstStage
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch, BatchPlan
from models.algorithms.parts.retrained_head import HeadSettings
from models.algorithms.subg import Subg
from models.groups import TrainGroups
from models.networks.heads import head_of
from patching.errors import EmptyGroupError


class DfrSettings(HeadSettings):
    """Settings of DFR."""

    held_out: float = Field(default=0.2, ge=0, le=0.5)
    """About this share of the training patients is kept from the features' training, and the last layer
    learns from them. 0, or where patients are not known: from the samples the features have seen (DFR^Tr)."""
    l1: NonNegativeFloat = 0.01
    """Weight of the L1 norm of the last layer's weights; scikit-learn's C is 1 / (l1 n) of n samples."""


class Dfr(AbstractAlgorithm[TrainGroups, DfrSettings]):
    """min_W mean L(W f(x)) + l1 |W|_1 over a subset with equal groups, f learned by ERM and frozen
    (Kirichenko et al., "Last Layer Re-Training is Sufficient", ICLR 2023, arXiv 2204.02937).

    The paper holds out half of the validation split; here validation only chooses, and what is held out are
    training patients. The paper solves one convex problem on standardized features of images as they are,
    and averages ten to twenty solutions over subsets; here one subset is passed through by the training's
    optimizer, with its augmentation and weight decay.

    Raises:
        EmptyGroupError: a group of which no sample is among those that the last layer learns from.
    """

    settings_type = DfrSettings
    view = TrainGroups
    start = "first"
    trains = "head"
    additive = False

    def __init__(self, train: TrainGroups, settings: DfrSettings, first: FirstModel) -> None:
        super().__init__(train, settings, first)
        self.rows_M = np.flatnonzero(first.unseen_N if first.unseen_N.any() else ~first.unseen_N)
        groups = TrainGroups(train.layout, train.label_N[self.rows_M], train.attribute_N[self.rows_M])
        _require_every_group(groups, len(train))
        self.balanced = Subg(groups, AlgorithmSettings(batch_size=settings.batch_size))

    @classmethod
    def first_stage(cls, settings: DfrSettings) -> FirstStage:
        return replace(settings.erm_first, held_out=settings.held_out)

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield batches that pass through the subset in random order."""
        for plan in self.balanced.batches(rng):
            yield BatchPlan(self.rows_M[plan.indices_N], plan.weights_RN)

    def expectation(self) -> Expectation:
        found = self.balanced.expectation()
        return Expectation(self._everywhere(found.share_N), self._everywhere(found.samples_N))

    def objective(self, networks: Networks, batch: Batch) -> torch.Tensor:
        weight_KD = head_of(networks.classifier.backbone).weight
        return super().objective(networks, batch) + self.settings.l1 * weight_KD.float().abs().sum()

    def _everywhere(self, values_M: NDArray[np.float64]) -> NDArray[np.float64]:
        values_N = np.zeros(len(self.train))
        values_N[self.rows_M] = values_M
        return values_N


def _require_every_group(groups: TrainGroups, n_train: int) -> None:
    empty = [groups.layout.names[g] for g in np.flatnonzero(groups.counts_KA.ravel() == 0)]
    if empty:
        raise EmptyGroupError(
            has=f"no sample with {' and none with '.join(empty)} among the {len(groups)} of {n_train} "
            f"training samples that the last layer may learn from (counts {groups.counts_KA.tolist()})",
            needs="at least one of every (label, attribute) group",
            do="raise held_out, set it to 0 to learn from all training samples, or take another seed",
        )
