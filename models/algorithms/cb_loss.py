"""CBLoss: classes weighted by the inverse of their effective number of samples."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.algorithms.base import AlgorithmSettings
from models.algorithms.parts.reweighting import AbstractReweighter
from models.groups import TrainLabels, conditional_distribution


class CbLossSettings(AlgorithmSettings):
    """Settings of CBLoss."""

    overlap: float = Field(default=0.9999, ge=0, lt=1)
    """The paper's beta: 0 is ERM, towards 1 classes are weighted by the inverse of their size."""


class CbLoss(AbstractReweighter[TrainLabels, CbLossSettings]):
    """Weights proportional to 1 / E_y with E_y = (1 - overlap^n_y) / (1 - overlap).

    Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019. It needs
    no attributes: groups inside a class keep their share.

    Raises:
        EmptyGroupError: a class without training samples.
    """

    settings_type = CbLossSettings
    view = TrainLabels

    def shares(self) -> NDArray[np.float64]:
        counts_K = self.train.counts_K
        conditional_distribution(counts_K[:, None])  # an empty class is an error
        # expm1 and log1p, because overlap^n is close to 1 on small classes.
        effective_K = -np.expm1(counts_K * np.log(self.settings.overlap)) if self.settings.overlap else 1.0
        share_K = counts_K / effective_K
        return self.train.undivided.per_sample((share_K / share_K.sum())[:, None])
