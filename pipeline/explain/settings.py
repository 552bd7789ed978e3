"""configs/explain.yaml."""

from pydantic import Field, NonNegativeInt, PositiveInt

from models.networks.classifier import Device
from pipeline.config import Settings


class ExplainSettings(Settings):
    """How many test patches are shown, how large, and how a place is covered."""

    device: Device
    """`auto`: the GPU where there is one."""
    confident: NonNegativeInt
    """Errors of every group that the model is surest of."""
    typical: NonNegativeInt
    """Errors of every group whose confidence is nearest to the median among its errors."""
    random: NonNegativeInt
    """Patches of every group, right or wrong, as a hash of their names picks them."""
    side: PositiveInt = Field(le=1024)
    """Side of a picture in pixels."""
    fine_side: PositiveInt = Field(le=2048)
    """Most pixels a side of the picture at the slide's finest resolution."""
    check_slides: bool
    """Whether a slide's files are read whole, to see that they are those that were tiled."""
    window: float = Field(gt=0, le=0.5)
    """Side of the window that covers a place, as a share of the patch's."""
    step: float = Field(gt=0, le=0.5)
    """From one window to the next, as a share of the patch's side."""
    outlines: NonNegativeInt
    """Slides whose annotation is kept for the report, those with the most errors first."""
