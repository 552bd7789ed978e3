"""What one training step is made of: the samples drawn for it, and their tensors."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class BatchPlan:
    """The samples of one training step and their weight in every role.

    A role is a batch of the paper's text (GERNE: biased, less biased; ERM: all). A sample may
    serve several roles and is then forwarded once.

    Attributes:
        indices_N: samples of the training split, int64.
        weights_RN: float64; row r sums to 1, so that role r's batch loss is sum_n w[r, n] * loss[n]. Where
            samples are weighted by their group, it does so on average over batches.
    """

    indices_N: NDArray[np.int64]
    weights_RN: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.indices_N)

    def rows(self, rows_M: NDArray[np.int64]) -> "BatchPlan":
        """Some samples of the step, with the weights they have in it."""
        return BatchPlan(self.indices_N[rows_M], self.weights_RN[:, rows_M])


@dataclass(frozen=True)
class Batch:
    """A plan with its tensors on the device of the training.

    Attributes:
        images_BCHW: augmented raw pixels.
        label_B: int64.
        plan: which samples they are.
        label_smoothing: of the training's settings.
        mixing_seed: of random draws that belong to the step, such as mixing; the same in every process.
        target_BK: what replaces the labels where samples are mixed, rows that sum to 1; none: the labels.
        progress: share of the training's steps that are done, from 0 to below 1.
    """

    images_BCHW: torch.Tensor
    label_B: torch.Tensor
    plan: BatchPlan
    label_smoothing: float
    mixing_seed: int
    target_BK: torch.Tensor | None = None
    progress: float = 0.0

    def __len__(self) -> int:
        return len(self.plan)

    def rows(self, rows_M: NDArray[np.int64]) -> "Batch":
        """Some samples of the batch."""
        here_M = torch.from_numpy(rows_M).to(self.label_B.device)
        return replace(
            self,
            images_BCHW=self.images_BCHW[here_M],
            label_B=self.label_B[here_M],
            plan=self.plan.rows(rows_M),
            target_BK=None if self.target_BK is None else self.target_BK[here_M],
        )
