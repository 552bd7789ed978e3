"""A row's annotation in its place on the row's slide, and whether it lies where tissue is."""

import logging
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from patching.annotations.base import AbstractAnnotation
from patching.annotations.registry import load_annotation
from patching.manifest import SlideRow
from patching.readers.base import AbstractSlide
from patching.survey.survey import Survey

logger = logging.getLogger(__name__)
_ON_TISSUE = 0.05
"""Share of the tumor area under which it looks as if drawn on another slide, or at another scale."""


def annotation_of(row: SlideRow, slide: AbstractSlide, classes: Mapping[str, str]) -> AbstractAnnotation:
    """The annotation that a row names, else its label.

    Args:
        row: of the manifest.
        slide: the row's, open.
        classes: class name (or mask value) -> tumor, normal or ignore.

    Raises:
        MissingFileError: no such file.
        AnnotationError: neither annotation nor label, or an unusable file.
    """
    return load_annotation(
        row.annotation,
        label=row.label,
        size=slide.size,
        classes=classes,
        bounds=slide.bounds,
        scanned=slide.scanned,
        origin=row.reading.annotation_origin,
    )


def tell_beside_tissue(row: SlideRow, survey: Survey, tumor_fraction_N: NDArray[np.float64]) -> None:
    """Say in the log where next to nothing of what is outlined as tumor is tissue.

    Args:
        row: of the manifest; one without annotation has no outlines.
        survey: of its slide.
        tumor_fraction_N: share of each place of the survey's grid that is tumor.
    """
    tumor = float(tumor_fraction_N.sum())
    on_tissue = float(np.minimum(tumor_fraction_N, survey.tissue_fraction_N).sum())
    if row.annotation is not None and tumor and on_tissue < _ON_TISSUE * tumor:
        logger.warning(
            "%s: %.0f %% of the area that %s outlines as tumor lies where tissue is; check that it belongs "
            "to this slide, is in pixels of level 0, and from where it counts (`annotation_origin`)",
            row.slide_id,
            100 * on_tissue / tumor,
            row.annotation.name,
        )
