"""Class-balanced ERM: classes uniform, groups inside a class as they are."""

import numpy as np
from numpy.typing import NDArray

from models.algorithms.quota import AbstractResampler


class ClassBalanced(AbstractResampler):
    """Batches with p(y) = 1/K and p(a|y) = alpha_ya: GERNE's biased batch B_b, its case beta = -1.

    The quotas keep p(a|y) at alpha in every batch. That changes nothing in expectation; with a
    layout of one attribute value it is a plain uniform draw from each class.
    """

    generator = 0

    def distribution(self) -> NDArray[np.float64]:
        return self.groups.alpha_KA
