"""Settings of the intervene stage, and the three interventions that it makes."""

from typing import Final, NamedTuple

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator

from models.networks.classifier import Device
from pipeline.config import Settings


class Arm(NamedTuple):
    """One intervention on patches of one label.

    Attributes:
        title: to print.
        label: of the patches, and of the tissue that is put in.
        adds: whether background becomes tissue; else tissue becomes background.
    """

    name: str
    title: str
    label: int
    adds: bool


ARMS: Final = (
    Arm("normal_added", "non-tumor patches, tissue added", 0, True),
    Arm("normal_removed", "non-tumor patches, tissue removed", 0, False),
    Arm("tumor_removed", "tumor patches, tissue removed", 1, False),
)
KINDS: Final = ("area", "control")
"""`area`: the amount of tissue changes. `control`: the same pixels become others of the same kind."""


class InterveneSettings(Settings):
    """configs/intervene.yaml."""

    patches: PositiveInt = 48
    """Of each intervention at most; those of different patients come first."""
    shares: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    """Of the tissue that is removed, or of what can be added, step by step; the first is 0."""
    tumor_until: float = Field(default=0.8, gt=0, le=1)
    """Slopes of tumor patches end at this share: what has no tumor left is no tumor patch."""
    tumor_share: float = Field(default=0.9, gt=0, le=1)
    """Tumor patches of which at least this share of the tissue is tumor, so that what is left is tumor."""
    donors: PositiveInt = 4
    """Patches of the same slide that material is taken from, and as many of others for what is lacking."""
    margin: NonNegativeInt = 1
    """Pixels around tissue that no background is taken from, and that go with it: light spreads."""
    device: Device = "auto"
    """`auto`: the GPU where there is one."""
    memory_limit_gib: PositiveFloat = 1.0
    """Changed patches of an intervention that need more are predicted in parts."""

    @field_validator("shares")
    @classmethod
    def _ascend_from_none(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if len(shares) < 3 or shares[0] != 0 or shares[-1] > 1 or sorted(set(shares)) != list(shares):
            raise ValueError("give three shares or more, ascending from 0 to at most 1")
        return shares
