"""Settings that methods share which learn from a first model."""

from typing import Literal

from pydantic import Field

from models.algorithms.base import AlgorithmSettings
from models.algorithms.parts.first_model import FirstStage


class TwoStageSettings(AlgorithmSettings):
    """Settings of a method with a first model."""

    first_share: float = Field(default=0.3, gt=0, lt=1)
    """Share of the budget in samples seen that the first model gets."""
    first_judged_on: Literal["validation", "training"] = "validation"
    """Split that chooses the first model's state; `training` where validation is not distributed as training,
    as in benchmarks with a balanced one: it would choose the state with the least bias."""

    @property
    def erm_first(self) -> FirstStage:
        """ERM with this share of the budget, judged on that split: what most methods ask for, or vary."""
        return FirstStage(
            algorithm_settings={"batch_size": self.batch_size},
            share=self.first_share,
            judged_on=self.first_judged_on,
        )
