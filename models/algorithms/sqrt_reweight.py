"""Square-root reweighting: half the way, on a logarithmic scale, from ERM to ReWeight."""

import numpy as np
from numpy.typing import NDArray

from models.algorithms.base import AlgorithmSettings
from models.algorithms.parts.reweighting import AbstractReweighter
from models.groups import TrainGroups, require_every_group


class SqrtReWeight(AbstractReweighter[TrainGroups, AlgorithmSettings]):
    """Weights proportional to 1 / sqrt(n_g), so that a group's share is sqrt(n_g) / sum_h sqrt(n_h).

    Raises:
        EmptyGroupError: a group without training samples.
    """

    view = TrainGroups

    def shares(self) -> NDArray[np.float64]:
        require_every_group(self.train.counts_KA)
        root_KA = np.sqrt(self.train.counts_KA)
        return self.train.per_sample(root_KA / root_KA.sum())
