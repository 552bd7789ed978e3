"""Class-balanced ERM: classes uniform, samples of a class as they are."""

import numpy as np
from numpy.typing import NDArray

from models.algorithms.parts.quota import AbstractResampler, QuotaSettings
from models.groups import TrainGroups, TrainLabels


class ClassBalanced(AbstractResampler[TrainLabels, QuotaSettings]):
    """Batches with p(y) = 1/K, uniform inside a class: in expectation GERNE's biased batch B_b, its
    case beta = -1. It sees no attributes.
    """

    view = TrainLabels
    generator = 0

    def drawn_from(self) -> TrainGroups:
        return self.train.undivided

    def distribution(self) -> NDArray[np.float64]:
        return self.groups.alpha_KA
