"""Spectral decoupling: a penalty on logits instead of one on weights."""

import torch
from pydantic import NonNegativeFloat

from models.algorithms.base import AlgorithmSettings
from models.algorithms.erm import AbstractErm
from models.algorithms.parts.plans import Batch


class SpectralDecouplingSettings(AlgorithmSettings):
    """Settings of spectral decoupling."""

    penalty: NonNegativeFloat = 0.1
    """The paper's lambda; 0 is ERM."""


class SpectralDecoupling(AbstractErm[SpectralDecouplingSettings]):
    """ERM with lambda / 2 |f(x)|^2 added to every sample's cross-entropy, of its logits f(x) [K].

    Pezeshki, Kaba, Bengio, Courville, Precup, Lajoie, "Gradient Starvation: A Learning Proclivity in Neural
    Networks", NeurIPS 2021 (arXiv 2011.09468), section 3.3: logits that cannot grow leave a gradient for
    features that cross-entropy alone would starve. The paper has one logit z for two classes; here it is
    f_1 - f_0, and |f|^2 is at least z^2 / 2: our lambda acts as half of the paper's. Its further variant, a
    target for the logits of either class, is left out.
    """

    settings_type = SpectralDecouplingSettings

    def sample_losses(self, logits_BK: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Cross-entropy and penalty, [B]."""
        penalty_B = self.settings.penalty / 2 * logits_BK.square().sum(dim=1)
        return super().sample_losses(logits_BK, batch) + penalty_B
