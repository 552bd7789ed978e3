"""ReWeightCRT: the last layer anew, every group with the same share of the loss."""

from models.algorithms.base import AlgorithmSettings
from models.algorithms.parts.retrained_head import AbstractRetrainedHead, HeadSettings
from models.algorithms.reweight import ReWeight
from models.groups import TrainGroups


class ReWeightCrt(AbstractRetrainedHead[TrainGroups, HeadSettings]):
    """Features by ERM, then the last layer alone on ERM's batches with weights N / (G n_g) (Kang et al.,
    ICLR 2020, arXiv 1910.09217; this variant from SubpopBench, Yang et al., ICML 2023).

    Raises:
        EmptyGroupError: a group without training samples.
    """

    settings_type = HeadSettings
    view = TrainGroups

    def second_method(self) -> ReWeight:
        return ReWeight(self.train, AlgorithmSettings(batch_size=self.settings.batch_size))
