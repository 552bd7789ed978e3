"""Settings of the train stage, which the study shares."""

from pydantic import NonNegativeInt, PositiveFloat

from models.decisions.settings import DecisionSettings
from models.training.settings import TrainSettings
from pipeline.artifacts import Paths
from pipeline.workspace import located

_OWN = {"decision", "seed", "memory_limit_gib"}


class TrainStage(TrainSettings):
    """Settings of the train stage: those of the training, and three of its own."""

    decision: DecisionSettings = DecisionSettings()
    """Fitted to validation patients after the training; searches, sweeps and studies decide plainly."""
    seed: NonNegativeInt = 0
    """Of initial weights, batches and augmentation."""
    memory_limit_gib: PositiveFloat = 4.0
    """Patches of a split that need more are read from their stores at every use."""

    @property
    def memory_limit(self) -> int:
        """The same limit in bytes."""
        return int(self.memory_limit_gib * 2**30)

    def training(self, paths: Paths) -> TrainSettings:
        """The training's own settings, starting weights resolved against the repository's root."""
        own = self.model_dump(exclude=_OWN)
        if self.weights is not None:
            own["weights"] = located(self.weights, paths.root)
        return TrainSettings.model_validate(own)
