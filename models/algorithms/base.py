"""What every debiasing algorithm is: a plan of batches, and a linear combination of batch losses."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.groups import TrainGroups


@dataclass(frozen=True)
class BatchPlan:
    """The samples of one training step and their weight in every role.

    A role is a batch of the paper's text (GERNE: biased, less biased; ERM: all). A sample may
    serve several roles and is then forwarded once.

    Attributes:
        indices_N: samples of the training split, int64.
        weights_RN: float64; row r sums to 1, so that role r's batch loss is sum_n w[r, n] * loss[n].
    """

    indices_N: NDArray[np.int64]
    weights_RN: NDArray[np.float64]


class AbstractAlgorithm(ABC):
    """A debiasing method, bound to the groups of one training split.

    The training loss of a step is sum_r coefficients[r] * L_r, with L_r the weighted mean of the
    per-sample losses in role r. Subclasses state their difference from ERM and nothing else.
    """

    roles: tuple[str, ...]
    coefficients: tuple[float, ...]

    def __init__(self, groups: TrainGroups) -> None:
        self.groups = groups

    @property
    @abstractmethod
    def samples_per_step(self) -> float:
        """Expected forward passes per step; budgets in samples seen are divided by it."""

    @abstractmethod
    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        """Yield batch plans without end; all randomness comes from `rng`."""

    def sample_weights(self, plan: BatchPlan) -> NDArray[np.float64]:
        """Weight of every sample in the combined loss: sum_r coefficients[r] * weights[r], shape [N]."""
        weights_N: NDArray[np.float64] = np.asarray(self.coefficients) @ plan.weights_RN
        return weights_N

    def loss(self, losses_N: torch.Tensor, plan: BatchPlan) -> torch.Tensor:
        """Combine per-sample losses [N] into the step's loss, in fp32.

        The value may be negative for GERNE; never stop early on it.
        """
        weights_N = torch.as_tensor(self.sample_weights(plan), dtype=torch.float32, device=losses_N.device)
        return (weights_N * losses_N.float()).sum()
