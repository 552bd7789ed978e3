"""Tissue somebody else outlined: a mask image or outlines per slide."""

from pathlib import Path
from typing import Literal, final

import numpy as np
from numpy.typing import NDArray

from patching.annotations.base import OTHERS, AbstractAnnotation
from patching.annotations.registry import FORMATS, load_annotation
from patching.errors import AnnotationError, ConfigError, MissingFileError
from patching.tissue.base import AbstractTissueDetector, DetectorSettings, SlideImage, SlideOrigin

_ROWS = 64


class ExternalSettings(DetectorSettings):
    """Settings of `external`."""

    folder: Path
    """Where the masks lie, from the project's folder: <slide_id> and a suffix of annotations: .png .geojson …

    A mask image is aligned with the slide by its upper left corner, at any scale; everything but 0 is
    tissue. Outlines are level-0 pixels, whatever their class.
    """
    origin: Literal["slide", "bounds"] | None = None
    """From where they count on slides whose scanned region begins elsewhere than at (0, 0), as
    `annotation_origin` says of annotations."""


@final
class ExternalDetector(AbstractTissueDetector[ExternalSettings]):
    """A mask pixel is tissue where at least half of its area on the slide is."""

    Settings = ExternalSettings

    def files(self, slide_id: str) -> tuple[Path, ...]:
        """See the base class."""
        return (self._file(slide_id),)

    def _detect(self, slide: SlideImage) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
        if slide.origin is None:
            raise ConfigError(
                has="an image of no named slide",
                needs="the slide's name, size and downsample, for its mask to be found",
                do="choose another `tile.tissue.method`, or pass `origin`",
            )
        annotation = load_annotation(
            self._file(slide.origin.slide_id),
            label=None,
            size=slide.origin.size,
            classes={OTHERS: "tumor"},
            bounds=slide.origin.bounds,
            scanned=slide.origin.scanned,
            origin=self._settings.origin,
        )
        mask_HW = np.empty(slide.shape, np.bool_)
        for top in range(0, len(mask_HW), _ROWS):
            strip_HW = mask_HW[top : top + _ROWS]
            strip_HW[:] = _covered(annotation, slide.origin, top, strip_HW.shape)
        return mask_HW, ()

    def _file(self, slide_id: str) -> Path:
        """The slide's one file in the folder.

        Raises:
            MissingFileError: none.
            AnnotationError: several.
        """
        candidates = [self._settings.folder / f"{slide_id}{suffix}" for suffix in FORMATS]
        found = [path for path in candidates if path.is_file()]
        if not found:
            raise MissingFileError(
                has=f"no tissue mask of {slide_id} in {self._settings.folder}",
                needs=f"{slide_id} with one of {', '.join(FORMATS)}",
                do="add it, or correct `tile.tissue.folder`; a model that was trained on such masks needs "
                "them of every slide, in this folder",
            )
        if len(found) > 1:
            raise AnnotationError(
                has=f"{', '.join(path.name for path in found)} in {self._settings.folder}",
                needs=f"one tissue mask of {slide_id}",
                do="remove the others",
            )
        return found[0]


def _covered(
    annotation: AbstractAnnotation, origin: SlideOrigin, top: int, shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Which pixels of a strip of rows are tissue; of the last pixels, only what lies on the slide counts."""
    side = origin.downsample
    y_H, x_W = np.arange(top, top + shape[0]) * side, np.arange(shape[1]) * side
    x, y = np.meshgrid(x_W, y_H)
    covered_N = annotation.fractions(np.stack([x.ravel(), y.ravel()], axis=-1), side)
    inside_H = np.minimum(side, origin.size.height - y_H) / side
    inside_W = np.minimum(side, origin.size.width - x_W) / side
    # Fractions are rounded to 1e-9.
    mask_HW: NDArray[np.bool_] = covered_N.reshape(shape) >= np.outer(inside_H, inside_W) / 2 - 1e-8
    return mask_HW
