"""ReWeight: every group has the same share of the loss."""

import numpy as np
from numpy.typing import NDArray

from models.algorithms.base import AlgorithmSettings
from models.algorithms.parts.reweighting import AbstractReweighter
from models.groups import TrainGroups, require_every_group


class ReWeight(AbstractReweighter[TrainGroups, AlgorithmSettings]):
    """Weights w_g = N / (G n_g), inverse to the group's size (Japkowicz, AAAI workshop 2000).

    The same expected loss as group resampling, with ERM's draws: a rare sample comes seldom and counts much.

    Raises:
        EmptyGroupError: a group without training samples.
    """

    view = TrainGroups

    def shares(self) -> NDArray[np.float64]:
        require_every_group(self.train.counts_KA)
        return self.train.per_sample(np.full(self.train.counts_KA.shape, 1 / self.train.layout.n_groups))
