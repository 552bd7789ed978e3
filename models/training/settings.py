"""Settings of a training."""

from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from models.data.augment import Augmentation
from models.data.normalization import Transform
from models.metrics.selection import ChooseBy, Regime, SelectionRule
from models.networks.batchnorm import BatchNormPolicy
from models.networks.classifier import Device

CHANGES_NO_RESULT = ("prefetch", "save_minutes")
"""Settings with which the same training goes on."""
ADDED = ("choose_by", "minimum_validation_patients", "inner_folds")
"""Settings that others came before: at their defaults, they are no part of a training's identity."""


class TrainSettings(BaseModel):
    """Everything about a training that is not the algorithm's; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: str = "resnet10_slim"
    """A name of models.networks.backbones.registry.BACKBONES."""
    backbone_settings: dict[str, Any] = {}
    """Keyword arguments of the MONAI class, over the registry's own."""
    weights: Path | None = None
    """Local safetensors to start from."""
    transform: Transform = "none"
    """Of intensities, before normalization."""
    augmentation: Augmentation = "default"
    """A preset of models.data.augment.PRESETS."""

    epochs: PositiveFloat = 12.0
    """Budget in samples seen, as multiples of the training split; the same for every algorithm, also where
    one passes a sample through several networks, or twice (LfF, LC, DFA, DeNetDM, SAM)."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: PositiveFloat = 0.05
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of SGD."""
    weight_decay: NonNegativeFloat = 1e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the learning rate rises linearly."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    clip_norm: PositiveFloat | None = None
    """Largest norm of the combined gradient; none: not clipped."""
    micro_batch: PositiveInt | None = None
    """Samples of one forward pass, at most, where a step's do not fit in the device's memory; none: all at
    once. The parts of a step hold its groups and roles evenly, and their gradients are added up: that changes
    only rounding, dropout's draws, and what BatchNorm sees where it is not frozen: the parts."""
    batch_norm: BatchNormPolicy = "union"
    weight_average: float | None = Field(default=None, gt=0, lt=1)
    """Decay per step of an exponential moving average of the weights, which is then what is validated
    and kept; for small cohorts, whose single validations are noisy."""

    attributes: Regime = "known"
    """Where attributes may be used: `known` in training and validation, `validation_only`, or `nowhere`.
    Methods and selection get objects without the attributes that they may not see. Nor has the tissue
    fraction, of which the attribute is made, a say in the normalization where it is not known in training."""
    selection: SelectionRule = "auto"
    minimum_validation_patches: NonNegativeInt = 10
    """Groups with fewer validation patches have no say in the selection."""
    choose_by: ChooseBy = "auto"
    """What chooses the step and the candidate. `auto`: validation, where every label has a group of
    `minimum_validation_patients`; else nothing does, and the last step of the first candidate is kept.
    `validation`: in any case. `last`: nothing. `cross_validation`: within the training split."""
    minimum_validation_patients: NonNegativeInt = 4
    """For `auto`: groups of fewer have no say. Where patients are not known, that of patches has to do."""
    inner_folds: int = Field(default=5, ge=2)
    """Of `cross_validation`: each costs a training of every candidate."""
    selection_smoothing: PositiveInt = 1
    """Validations over which the selection's figures are averaged."""
    validate_every: PositiveFloat = 1.0
    """Epochs of samples seen between two validations."""

    prefetch: NonNegativeInt | None = None
    """Steps whose patches are read and augmented ahead, each in a thread of its own; none: as the cores allow
    on a GPU, 0 on a CPU. Changes no result."""
    save_minutes: PositiveFloat = 10.0
    """After which the state is saved between two validations, so that a kill costs no more."""
    device: Device = "auto"
    mixed_precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: bf16 on a GPU that has it, else fp32."""
    test_time_symmetries: bool = False
    """Average predictions over the 8 symmetries of the square, in validation and ever after."""
    log_gradients: bool = False
    """Log every role's gradient norm, and the cosine between the first and the last role's gradient."""
    log_gradients_every: PositiveInt = 10
    """Steps between two such measurements, each as costly as one more backward pass per role."""

    def identity(self) -> dict[str, Any]:
        """The settings as JSON, without those of `ADDED` that have their defaults."""
        defaults = TrainSettings()
        same = {key for key in ADDED if getattr(self, key) == getattr(defaults, key)}
        return self.model_dump(mode="json", exclude=same)
