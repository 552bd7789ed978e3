"""Tissue is where a channel gives signal: for modalities whose background is exactly or nearly zero."""

from typing import final

import numpy as np
from numpy.typing import NDArray

from patching.errors import ChannelError
from patching.tissue.base import AbstractTissueDetector, DetectorSettings, SlideImage


class SignalSettings(DetectorSettings):
    """Settings of `signal`."""

    channel: str | None = None
    """Name of the channel to look at; None takes the strongest of all in each pixel."""
    threshold: float = 0.0
    """Intensities above it are tissue, in the slide's own units."""


@final
class SignalDetector(AbstractTissueDetector[SignalSettings]):
    """Intensity above a fixed threshold.

    The image is area-averaged to mask resolution first: for exact signal areas choose
    `mask_pixels_per_patch` as large as the patch's level-0 side.
    """

    Settings = SignalSettings
    _zero_is_background = True

    def _detect(self, slide: SlideImage) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
        name = self._settings.channel
        if name is None:
            signal_HW = slide.image_HWC.max(axis=-1)
        elif name in slide.channels:
            signal_HW = slide.image_HWC[..., slide.channels.index(name)]
        else:
            raise ChannelError(
                has=f"channels {', '.join(slide.channels) or 'without names'}",
                needs=f"the channel {name} that tissue detection looks at",
                do="correct `tile.tissue.channel`, or the channels column of slides.csv",
            )
        mask_HW: NDArray[np.bool_] = signal_HW > np.asarray(self._settings.threshold)
        return mask_HW, ()
