"""What a run of `predict` knows of one slide once its last patch has its probability."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.networks.card import DecisionCard, ModelCard
from models.networks.decision import verdicts
from models.networks.decision_words import briefly
from models.networks.evidence import Evidence
from models.networks.reliability import notes
from patching.errors import SlideError
from patching.geometry import Location, Mpp, Size
from patching.survey.quality import quality_names
from pipeline.deployment.planning import SlidePlan

PATCHES = ("x", "y", "tissue_fraction", "covered_fraction", "probability", "prediction", "attribute", "note")
"""Columns of every slide's patches."""
ANNOTATED = ("tumor_fraction", "label")
"""Columns more where the slide is annotated."""


@dataclass(frozen=True)
class SlidePrediction:
    """One slide, predicted; lengths in level-0 pixels."""

    slide_id: str
    image: tuple[str, ...]
    """Names of its files, without folders."""
    size: Size
    bounds: Location
    """Where QuPath's frame begins: openslide.bounds-x and -y, else (0, 0)."""
    mpp: Mpp | None
    extent: int
    """Side of a patch."""
    stride: int
    """Step of the grid; `shift` puts the last places nearer to their neighbors."""
    classes: tuple[str, str]
    """Names; the last is tumor."""
    decision: DecisionCard
    """Of the model: what its probabilities and classes are made by."""
    patches: pd.DataFrame
    """Columns PATCHES, and ANNOTATED where the slide is annotated; in the grid's order.

    x and y are the patch's corner, probability is that of tumor as the decision tells it, prediction the
    number of a class, attribute the part of the tissue fractions that the patch lies in (-1: the model knows
    no parts), note says why not to rely on it ("" is no reason; several are joined by "; ", each may name
    details after a colon), label is 1 for tumor, 0 for none, -1 for neither.
    """
    thumbnail_HW3: NDArray[np.uint8]
    """The whole slide, any scale."""
    tissue_HW: NDArray[np.bool_]
    tissue_downsample: float
    """Level-0 pixels per pixel of the tissue mask."""
    outlines: tuple[NDArray[np.float64], ...]
    """The annotation's rings [N, 2]; none where there is no annotation."""
    warnings: tuple[str, ...]
    weak_known: bool = True
    """Whether evidence told the model's weak groups, so that notes can name them."""

    @cached_property
    def locations_N2(self) -> NDArray[np.int64]:
        """Corners (x, y) of the patches."""
        return np.stack([self.patches[name].to_numpy(np.int64) for name in ("x", "y")], axis=1)

    @cached_property
    def probability_N(self) -> NDArray[np.float64]:
        """Probability of tumor of every patch."""
        return self.patches["probability"].to_numpy(np.float64)

    @cached_property
    def tumor_N(self) -> NDArray[np.bool_]:
        """Whether each patch is predicted as tumor."""
        number_N = self.patches["prediction"].to_numpy(np.int64)
        return np.asarray(number_N == len(self.classes) - 1, np.bool_)

    @property
    def decided(self) -> str:
        """What made a class of a probability, in words."""
        return f"{self.classes[-1]} above {self.decision.threshold:.4g}; {briefly(self.decision)}"

    @cached_property
    def notes(self) -> list[str]:
        """Why not to rely on each patch."""
        return self.patches["note"].tolist()

    @property
    def annotated(self) -> bool:
        """Whether patches have labels to be scored against."""
        return "label" in self.patches


def predicted_slide(
    plan: SlidePlan,
    card: ModelCard,
    evidence: Evidence | None,
    probability_NK: NDArray[np.float32],
    quality_NQ: NDArray[np.float32],
) -> SlidePrediction:
    """What a slide's files are made of.

    Args:
        plan: of the slide.
        card, evidence: of the model.
        probability_NK: the network's own, of every patch of the plan.
        quality_NQ: the patches' quality in the order of `quality_names`; Q is 0 where none was measured.

    Raises:
        SlideError: probabilities are no numbers.
    """
    _require_numbers(probability_NK, plan.row.slide_id)
    sampling, mpp, tissue_N = plan.survey.sampling, plan.survey.mpp, plan.tissue_fraction_N
    probability_N, prediction_N = verdicts(card.decision, probability_NK, tissue_N)
    note_N = _notes(plan, card, evidence, prediction_N, quality_NQ)
    above = card.attribute.above
    columns: dict[str, Any] = {
        "x": plan.locations_N2[:, 0],
        "y": plan.locations_N2[:, 1],
        "tissue_fraction": tissue_N,
        "covered_fraction": plan.covered_fraction_N,
        "probability": probability_N,
        "prediction": prediction_N,
        "attribute": np.full(len(plan), -1) if above is None else (tissue_N > above).astype(np.int64),
        "note": note_N.astype(object),
    }
    if plan.annotated is not None:
        judged = plan.annotated.judged
        columns |= {"tumor_fraction": judged.tumor_fraction_N, "label": judged.label_N.astype(np.int64)}
    return SlidePrediction(
        slide_id=plan.row.slide_id,
        image=tuple(str(image).rstrip("/").rpartition("/")[2] for image in plan.row.images),
        size=plan.size,
        bounds=plan.bounds,
        mpp=mpp,
        extent=sampling.extent,
        stride=sampling.stride,
        classes=(card.classes[0], card.classes[1]),
        decision=card.decision,
        patches=pd.DataFrame(columns),
        thumbnail_HW3=plan.survey.thumbnail_HW3,
        tissue_HW=plan.survey.tissue.mask_HW,
        tissue_downsample=plan.survey.tissue.downsample,
        outlines=() if plan.annotated is None else plan.annotated.outlines,
        warnings=plan.warnings,
        weak_known=evidence is not None,
    )


def _notes(
    plan: SlidePlan,
    card: ModelCard,
    evidence: Evidence | None,
    prediction_N: NDArray[np.int64],
    quality_NQ: NDArray[np.float32],
) -> NDArray[np.str_]:
    names = quality_names(card.channels) if quality_NQ.shape[1] else ()
    mpp = plan.survey.mpp
    return notes(
        card,
        evidence,
        prediction_N,
        tissue_fraction_N=plan.tissue_fraction_N,
        quality=dict(zip(names, quality_NQ.T, strict=True)),
        mpp=None if mpp is None else mpp.mean * plan.survey.sampling.downsample,
    )


def _require_numbers(probability_NK: NDArray[np.float32], slide_id: str) -> None:
    """No threshold is exceeded by NaN, which would pass for a verdict."""
    if unknown := int((~np.isfinite(probability_NK)).any(axis=1).sum()):
        raise SlideError(
            has=f"{slide_id}: {unknown} of {len(probability_NK)} patches without a probability",
            needs="pixels whose values the network can bear",
            do="compare them with the training's; if other slides fail too, fetch the model again",
        )
