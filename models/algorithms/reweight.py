"""ReWeight: every group has the same share of the loss."""

import numpy as np
from numpy.typing import NDArray

from models.algorithms.base import AlgorithmSettings
from models.algorithms.reweighting import AbstractReweighter


class ReWeight(AbstractReweighter[AlgorithmSettings]):
    """Weights w_g = N / (G n_g), inverse to the group's size (Japkowicz, AAAI workshop 2000).

    The same expected loss as group resampling, with ERM's draws: a rare sample comes seldom and counts much.

    Raises:
        EmptyGroupError: a group without training samples.
    """

    def shares(self) -> NDArray[np.float64]:
        self.groups.require_every_group()
        return np.full(self.groups.counts_KA.shape, 1 / self.groups.layout.n_groups)
