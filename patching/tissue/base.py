"""What a tissue detector is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from patching.geometry import Mpp


class DetectorSettings(BaseModel):
    """Base of a detector's settings: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True)
class SlideImage:
    """A whole slide at mask resolution, and what is known of it."""

    image_HWC: NDArray[np.generic]
    """Area-averaged, in the slide's dtype."""
    mpp: Mpp | None
    """Pixel size of this image, not of level 0."""
    brightfield: bool
    channels: tuple[str, ...]


class AbstractTissueDetector(ABC):
    """Finds tissue on an image of a whole slide at mask resolution.

    An implementation writes `_detect` only and keeps no state.
    """

    Settings: type[DetectorSettings]

    @final
    def detect(
        self,
        image_HWC: NDArray[np.generic],
        mpp: Mpp | None,
        *,
        brightfield: bool,
        channels: tuple[str, ...] = (),
    ) -> NDArray[np.bool_]:
        """Tissue mask, bool [H, W].

        Args:
            image_HWC: the area-averaged slide, in the slide's dtype.
            mpp: pixel size of this image (not of level 0).
            brightfield: 8-bit RGB in transmitted light, the background being bright.
            channels: names of C, for detectors that look at one of them.

        Raises:
            ChannelError: a channel the settings name is not there.
        """
        if image_HWC.ndim != 3:
            raise ValueError(f"an image [H, W, C] is needed, not {image_HWC.shape}")
        return self._detect(SlideImage(image_HWC, mpp, brightfield, channels))

    @abstractmethod
    def _detect(self, slide: SlideImage) -> NDArray[np.bool_]: ...

    @abstractmethod
    def __init__(self, settings: Any) -> None: ...
