"""Square-root reweighting: half the way, on a logarithmic scale, from ERM to ReWeight."""

import numpy as np
from numpy.typing import NDArray

from models.algorithms.base import AlgorithmSettings
from models.algorithms.reweighting import AbstractReweighter


class SqrtReWeight(AbstractReweighter[AlgorithmSettings]):
    """Weights proportional to 1 / sqrt(n_g), so that a group's share is sqrt(n_g) / sum_h sqrt(n_h).

    Raises:
        EmptyGroupError: a group without training samples.
    """

    def shares(self) -> NDArray[np.float64]:
        self.groups.require_every_group()
        root_KA = np.sqrt(self.groups.counts_KA)
        share_KA: NDArray[np.float64] = root_KA / root_KA.sum()
        return share_KA
