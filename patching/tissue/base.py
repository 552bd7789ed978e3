"""What a tissue detector is."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar, final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from patching.errors import ConfigError
from patching.geometry import Location, Mpp, Size
from patching.tissue.parts.looking import look
from patching.tissue.parts.morphology import Repairs

_CORNER = Location(0, 0)


class DetectorSettings(BaseModel):
    """Base of a detector's settings: frozen, and strict about unknown keys.

    Those here repair any detector's mask, in this order; 0 is off. They need the slide's pixel size.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    closing_um: float = Field(default=0, ge=0)
    """Gaps narrower than this are closed, in µm."""
    opening_um: float = Field(default=0, ge=0)
    """Bridges and threads narrower than this are removed, in µm."""
    minimum_region_um2: float = Field(default=0, ge=0)
    """Regions of less area are removed, in µm²."""
    hole_um2: float = Field(default=0, ge=0)
    """Holes of less area are filled, in µm²."""

    @property
    def repairs(self) -> Repairs:
        """What is to be repaired."""
        return Repairs(self.closing_um, self.opening_um, self.minimum_region_um2, self.hole_um2)


@dataclass(frozen=True, slots=True)
class SlideOrigin:
    """Which slide an image shows, for detectors that look elsewhere than at its pixels."""

    slide_id: str
    size: Size
    """At level 0."""
    downsample: float
    """Level-0 pixels per pixel of the image; the last ones may stick out of the slide."""
    bounds: Location = _CORNER
    """Where the slide's scanned region begins at level 0."""
    scanned: Size | None = None
    """How large that is, where it is told."""


@dataclass(frozen=True, slots=True)
class SlideImage:
    """A whole slide at mask resolution, and what is known of it."""

    image_HWC: NDArray[np.generic]
    """Area-averaged, in the slide's dtype."""
    mpp: Mpp | None
    """Pixel size of this image, not of level 0."""
    brightfield: bool
    channels: tuple[str, ...]
    origin: SlideOrigin | None
    covered_HW: NDArray[np.bool_] | None = None
    """Where the image shows the slide; None is everywhere. Elsewhere it repeats the nearest such pixel."""
    known_HW: NDArray[np.bool_] | None = None
    """Where statistics may look: what is covered, less a ring in which pixels may be averages with fill."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the image, and of its mask."""
        return self.image_HWC.shape[0], self.image_HWC.shape[1]


@dataclass(frozen=True, slots=True)
class Found:
    """Tissue on a slide, how much of the slide is known, and what must be told of it."""

    mask_HW: NDArray[np.bool_]
    """Tissue; nowhere where nothing is known."""
    covered_HW: NDArray[np.bool_]
    """What of the image shows the slide: the given coverage. Not to be written to."""
    warnings: tuple[str, ...] = ()
    """A sentence each, with the figure, such as "everything is tissue: ..."."""


Settings_ = TypeVar("Settings_", bound=DetectorSettings)


class AbstractTissueDetector(ABC, Generic[Settings_]):
    """Finds tissue on an image of a whole slide at mask resolution.

    An implementation writes `_detect` only and keeps no state.
    """

    Settings: type[DetectorSettings]
    _zero_is_background: ClassVar[bool] = False
    """Whether the method takes a flat dark end for background by its own definition."""

    @final
    def __init__(self, settings: Settings_) -> None:
        self._settings = settings

    @property
    def settings(self) -> Settings_:
        """All of them, also those that nobody gave."""
        return self._settings

    @final
    def detect(
        self,
        image_HWC: NDArray[np.generic],
        mpp: Mpp | None,
        *,
        brightfield: bool,
        channels: tuple[str, ...] = (),
        origin: SlideOrigin | None = None,
        covered_HW: NDArray[np.bool_] | None = None,
    ) -> NDArray[np.bool_]:
        """Tissue mask, bool [H, W]: `find` without what it tells besides."""
        return self.find(
            image_HWC,
            mpp,
            brightfield=brightfield,
            channels=channels,
            origin=origin,
            covered_HW=covered_HW,
        ).mask_HW

    @final
    def find(
        self,
        image_HWC: NDArray[np.generic],
        mpp: Mpp | None,
        *,
        brightfield: bool,
        channels: tuple[str, ...] = (),
        origin: SlideOrigin | None = None,
        covered_HW: NDArray[np.bool_] | None = None,
    ) -> Found:
        """Tissue, what of the slide is known, and warnings.

        Args:
            image_HWC: the area-averaged slide, in the slide's dtype.
            mpp: pixel size of this image (not of level 0).
            brightfield: RGB in transmitted light, the background being bright.
            channels: names of C, for detectors that look at one of them.
            origin: which slide it is, for detectors that look a mask up.
            covered_HW: where the image shows the slide; None is everywhere.

        Raises:
            ChannelError: a channel the settings name is not there.
            MissingMppError: a setting in µm on a slide without pixel size.
            SlideError: a width in µm of too many pixels.
            MissingFileError: no mask of this slide, where masks come from files.
            AnnotationError: that mask is unusable.
        """
        if image_HWC.ndim != 3:
            raise ValueError(f"an image [H, W, C] is needed, not {image_HWC.shape}")
        if covered_HW is not None and covered_HW.shape != image_HWC.shape[:2]:
            raise ValueError(f"a coverage of {image_HWC.shape[:2]} is needed, not {covered_HW.shape}")
        self._settings.repairs.check(mpp)
        seen = look(image_HWC, covered_HW, brightfield=brightfield, dark=not self._zero_is_background)
        slide = SlideImage(seen.image_HWC, mpp, brightfield, channels, origin, seen.covered_HW, seen.known_HW)
        mask_HW, warnings = self._detect(slide)
        if seen.covered_HW is None:
            everywhere_HW = np.broadcast_to(np.True_, slide.shape)
            return Found(self._settings.repairs.apply(mask_HW, mpp), everywhere_HW, warnings)
        mask_HW &= seen.covered_HW
        mask_HW = self._settings.repairs.apply(mask_HW, mpp)
        return Found(mask_HW & seen.covered_HW, seen.covered_HW, (*seen.told, *warnings))

    def files(self, slide_id: str) -> tuple[Path, ...]:
        """Files beside the slide that its mask is made from."""
        return ()

    @abstractmethod
    def _detect(self, slide: SlideImage) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
        """A mask of its own, which the caller may change, and warnings.

        Where nothing is known of the slide the caller empties it.
        """


def detector_of(
    table: Mapping[str, type[AbstractTissueDetector[Any]]], name: str, settings: Mapping[str, Any]
) -> AbstractTissueDetector[Any]:
    """The table's detector called `name`, with its settings.

    Raises:
        ConfigError: no such detector, or a setting it does not have.
    """
    detector = table.get(name)
    if detector is None:
        raise ConfigError(
            has=f"the tissue method {name!r}",
            needs=f"one of {', '.join(table)}",
            do="correct `tile.tissue.method`",
        )
    try:
        return detector(detector.Settings(**settings))
    except ValidationError as error:
        raise ConfigError(
            has=f"settings of the tissue method {name}: {error}",
            needs=f"only {', '.join(detector.Settings.model_fields)}",
            do="correct `tile.tissue`; a cohort's settings are merged over those of configs/tile.yaml",
        ) from error
