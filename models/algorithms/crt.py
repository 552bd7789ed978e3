"""cRT: the last layer anew, every group equally often."""

from models.algorithms.group_resampling import GroupResampling
from models.algorithms.parts.quota import QuotaSettings
from models.algorithms.parts.retrained_head import AbstractRetrainedHead, HeadSettings
from models.groups import TrainGroups


class CrtSettings(HeadSettings, QuotaSettings):
    """Settings of cRT."""


class Crt(AbstractRetrainedHead[TrainGroups, CrtSettings]):
    """Features by ERM, then the last layer alone on batches with p(y, a) = 1 / (K A) (Kang et al., ICLR 2020,
    arXiv 1910.09217, "classifier re-training").

    Raises:
        EmptyGroupError: a group without training samples.
    """

    settings_type = CrtSettings
    view = TrainGroups

    def second_method(self) -> GroupResampling:
        settings = self.settings.model_dump(include=set(QuotaSettings.model_fields))
        return GroupResampling(self.train, QuotaSettings.model_validate(settings))
