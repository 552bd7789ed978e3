"""Settings that a stage and the study share; every other stage keeps its own beside its code."""

from pydantic import Field, NonNegativeInt, PositiveFloat

from models.attributes import ThresholdRule
from models.train_settings import TrainSettings
from pipeline.artifacts import Paths
from pipeline.config import Settings


class AttributeSettings(Settings):
    """Settings of the attribute stage."""

    thresholds: dict[str, ThresholdRule] = Field(min_length=1)
    """Thresholds by name; a quantile looks at training patients only."""
    bins: int = Field(default=20, ge=2, le=200)
    """Bins of the histogram."""


class TrainStage(TrainSettings):
    """Settings of the train stage: those of the training, and two of its own."""

    seed: NonNegativeInt = 0
    """Of initial weights, batches and augmentation."""
    memory_limit_gib: PositiveFloat = 4.0
    """Patches of a split that need more are read from their stores at every use."""

    def training(self, paths: Paths) -> TrainSettings:
        """The training's own settings, starting weights resolved against the repository's root."""
        own = self.model_dump(exclude={"seed", "memory_limit_gib"})
        if self.weights is not None:
            own["weights"] = paths.root / self.weights
        return TrainSettings.model_validate(own)
