"""Group resampling (ReSample): every group equally often."""

import numpy as np
from numpy.typing import NDArray

from models.algorithms.quota import AbstractResampler
from models.groups import TrainGroups


class GroupResampling(AbstractResampler[TrainGroups]):
    """Batches with p(y) = 1/K and p(a|y) = 1/A: GERNE's case c = 1, beta = 0.

    Raises:
        EmptyGroupError: a group without training samples.
    """

    view = TrainGroups
    generator = 1

    def drawn_from(self) -> TrainGroups:
        return self.train

    def distribution(self) -> NDArray[np.float64]:
        self.train.require_every_group()
        counts_KA = self.train.counts_KA
        return np.full(counts_KA.shape, 1 / counts_KA.shape[1])
