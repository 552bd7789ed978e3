"""Balanced softmax: logits shifted by the classes' sizes in training, and only there."""

import torch

from models.algorithms.base import AlgorithmSettings
from models.algorithms.erm import AbstractErm
from models.algorithms.parts.plans import Batch
from models.groups import TrainLabels, conditional_distribution


class BalancedSoftmax(AbstractErm[AlgorithmSettings]):
    """ERM with p_y = n_y exp(f_y) / sum_k n_k exp(f_k), of n_y training samples of class y.

    Ren, Yu, Sheng, Ma, Zhao, Yi, Li, "Balanced Meta-Softmax for Long-Tailed Visual Recognition", NeurIPS 2020
    (arXiv 2007.10740), equation 4. Predictions use the plain logits f, which then suit uniform classes. With
    classes of one size it is ERM. It needs no attributes: groups inside a class keep their share.

    Raises:
        EmptyGroupError: a class without training samples.
    """

    def __init__(self, train: TrainLabels, settings: AlgorithmSettings) -> None:
        super().__init__(train, settings)
        conditional_distribution(train.counts_K[:, None])  # an empty class is an error
        self.log_count_K = torch.from_numpy(train.counts_K).float().log()

    def sample_losses(self, logits_BK: torch.Tensor, batch: Batch) -> torch.Tensor:
        """Cross-entropy [B] of the shifted logits."""
        return super().sample_losses(logits_BK + self.log_count_K.to(logits_BK.device), batch)
