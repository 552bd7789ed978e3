"""Mixup: train on convex combinations of pairs of samples and of their labels.

Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018 (arXiv 1710.09412).
"""

import numpy as np
from pydantic import NonNegativeFloat

from models.algorithms.base import AlgorithmSettings
from models.algorithms.erm import AbstractErm
from models.algorithms.parts.mixing import Mixing, mixed
from models.algorithms.parts.plans import Batch


class MixupSettings(AlgorithmSettings):
    """Settings of mixup."""

    alpha: NonNegativeFloat = 0.2
    """Of the Beta distribution that lambda is drawn from: 1 is uniform, 0 is ERM."""
    mixing: Mixing = "mixup"
    """Whole patches are mixed, never cut: see models.algorithms.parts.mixing."""


class Mixup(AbstractErm[MixupSettings]):
    """ERM on x = lambda x_i + (1 - lambda) x_j and y = lambda y_i + (1 - lambda) y_j.

    As in the paper's figure 1, lambda ~ Beta(alpha, alpha) is drawn once per batch, whose samples are paired
    with themselves in random order. The tissue fraction of a mixed patch is mixed with it; what attribute
    that makes is not asked, for the method sees none (models.algorithms.parts.mixing).
    """

    settings_type = MixupSettings
    additive = False

    def prepared(self, batch: Batch) -> Batch:
        """The batch mixed with itself."""
        if not self.settings.alpha:
            return batch
        rng = np.random.default_rng(batch.mixing_seed)
        lam = rng.beta(self.settings.alpha, self.settings.alpha)
        partner_B = rng.permutation(len(batch))
        return mixed(batch, partner_B, np.full(len(batch), lam), self.train.n_classes)
