"""Sharpness-aware minimization: take the gradient where the loss nearby is highest.

Foret, Kleiner, Mobahi, Neyshabur, "Sharpness-Aware Minimization for Efficiently Improving Generalization",
ICLR 2021 (arXiv 2010.01412), equation 2 and Algorithm 1.
"""

from collections.abc import Callable, Sequence

import torch
from pydantic import NonNegativeFloat

from models.algorithms.base import AlgorithmSettings
from models.algorithms.erm import AbstractErm
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch
from models.groups import TrainLabels
from models.networks.batchnorm import kept_statistics


class SamSettings(AlgorithmSettings):
    """Settings of SAM."""

    rho: NonNegativeFloat = 0.05
    """Radius of the neighborhood, in the norm of all weights; 0 is ERM."""


class Sam(AbstractErm[SamSettings]):
    """ERM whose gradient g(w) is taken at w + rho g / |g| instead of w.

    The two gradients of a step see the same batch, augmentation and dropout; clipping applies to the second.
    BatchNorm's running statistics are those of the first, whose weights are kept. A step costs two forward
    and backward passes, and its samples count once in the budget of samples seen.
    """

    settings_type = SamSettings
    additive = False

    def __init__(self, train: TrainLabels, settings: SamSettings) -> None:
        super().__init__(train, settings)
        self.ascended = False

    def objective(self, networks: Networks, batch: Batch) -> torch.Tensor:
        """ERM's; leaves no trace in BatchNorm at the ascended weights."""
        with kept_statistics(networks.main, keep=self.ascended):
            return super().objective(networks, batch)

    def descend(
        self,
        objective: Callable[[], torch.Tensor],
        parameters: Sequence[torch.nn.Parameter],
        backward: Callable[[torch.Tensor], None],
    ) -> float:
        """Fill in the second gradient; returns the objective at the weights themselves."""
        value = super().descend(objective, parameters, backward)
        kept = [parameter.detach().clone() for parameter in parameters]
        _ascend(parameters, self.settings.rho)
        self.ascended = True
        try:
            super().descend(objective, parameters, backward)
        finally:
            self.ascended = False
            with torch.no_grad():
                for parameter, own in zip(parameters, kept, strict=True):
                    parameter.copy_(own)
        return value


@torch.no_grad()
def _ascend(parameters: Sequence[torch.nn.Parameter], rho: float) -> None:
    """w += rho g / |g|, with the norm over all parameters; the gradients are taken away."""
    moved = [(p, p.grad) for p in parameters if p.grad is not None]
    norm = torch.linalg.vector_norm(torch.stack([gradient.norm() for _, gradient in moved]))
    for parameter, gradient in moved:
        parameter.add_(gradient * (rho / (norm + 1e-12)))
        parameter.grad = None
