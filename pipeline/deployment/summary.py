"""What is kept of a slide's prediction for the page of its run: a few figures, no pixels, in summary.json."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from patching.errors import ArtifactError
from pipeline.deployment.prediction import SlidePrediction
from pipeline.deployment.score import score
from pipeline.files import write_json
from pipeline.look.heatmap import TOP, HeatGrid, painted

SUMMARY = "summary.json"


class SlideSummary(BaseModel):
    """One slide of a run; counts are of patches."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    slide_id: str
    image: tuple[str, ...]
    """Names of its files."""
    width: int
    height: int
    mpp: tuple[float, float] | None
    """µm per level-0 pixel."""
    decision: str
    """What made a class of a probability, in words."""
    threshold: float
    """Of the probability; a patch is tumor above it."""
    patches: int
    tumor_patches: int
    """Predicted as tumor."""
    groups: tuple[tuple[int, ...], ...]
    """By predicted class and part of the tissue fractions; no columns where the model knows no parts."""
    not_reliable: int | None
    """With a note of any kind; None where no evidence tells the model's weak groups."""
    notes: dict[str, int]
    """By kind of note; a patch with several counts for each."""
    tissue_mm2: float | None
    """Tissue that patches cover, each place once; None where µm are unknown."""
    tumor_mm2: float | None
    """The part of it under patches that are predicted as tumor."""
    tumor_share: float | None
    """Of the tissue that patches cover; None where they cover none."""
    warnings: tuple[str, ...]
    files: tuple[str, ...]
    """Beside summary.json."""
    score: dict[str, Any] | None
    """As pipeline.deployment.score makes it, where the slide is annotated."""


def summarize(
    prediction: SlidePrediction, grid: HeatGrid, files: Sequence[str], attributes: Sequence[str]
) -> SlideSummary:
    """A slide's figures.

    Args:
        prediction: the slide.
        grid: pixels of its heatmap.
        files: what lies beside the summary.
        attributes: names of the parts of the tissue fractions.
    """
    patches, mpp = prediction.patches, prediction.mpp
    tumor_px, tissue_px = tumor_and_tissue(prediction, grid)
    mm2 = None if mpp is None else mpp.pixel_area_um2 / 1e6
    notes = Counter(kind for note in prediction.notes for kind in kinds_of(note))
    return SlideSummary(
        slide_id=prediction.slide_id,
        image=prediction.image,
        width=prediction.size.width,
        height=prediction.size.height,
        mpp=None if mpp is None else (mpp.x, mpp.y),
        decision=prediction.decided,
        threshold=prediction.decision.threshold,
        patches=len(patches),
        tumor_patches=int(prediction.tumor_N.sum()),
        groups=_groups(patches, len(prediction.classes), len(attributes)),
        not_reliable=sum(note != "" for note in prediction.notes) if prediction.weak_known else None,
        notes=dict(sorted(notes.items())),
        tissue_mm2=None if mm2 is None else tissue_px * mm2,
        tumor_mm2=None if mm2 is None else tumor_px * mm2,
        tumor_share=tumor_px / tissue_px if tissue_px else None,
        warnings=prediction.warnings,
        files=tuple(files),
        score=score(patches, prediction.classes, attributes) if prediction.annotated else None,
    )


def kinds_of(note: str) -> tuple[str, ...]:
    """What a note's parts are, without their details.

    >>> kinds_of("outside training: mean_shg; weak group")
    ('outside training', 'weak group')
    """
    return tuple(dict.fromkeys(part.partition(":")[0] for part in note.split("; "))) if note else ()


def tumor_and_tissue(prediction: SlidePrediction, grid: HeatGrid) -> tuple[float, float]:
    """Level-0 pixels of tissue under patches of tumor, and under any patch.

    Measured in the middles of the tissue mask's pixels. Where patches overlap, a place counts by the share of
    them that are predicted as tumor, so that overlap changes no area.
    """
    tumor_N = prediction.tumor_N.astype(np.float64)
    share_HW = painted(grid, prediction.locations_N2, prediction.extent, tumor_N)
    step = prediction.tissue_downsample / grid.cell
    # The mask's last pixels may begin beyond the slide's border by less than one of them.
    y_H, x_W = (
        np.minimum(((np.arange(length) + 0.5) * step).astype(np.int64), last - 1)
        for length, last in zip(prediction.tissue_HW.shape, share_HW.shape, strict=True)
    )
    tumor = covered = 0
    for y, tissue_W in zip(y_H, prediction.tissue_HW, strict=True):
        value_M = share_HW[y].take(x_W[tissue_W])
        here = int(np.count_nonzero(value_M))
        covered += here
        tumor += int(value_M.sum(dtype=np.int64)) - here
    area = prediction.tissue_downsample**2
    return tumor / TOP * area, covered * area


def write_summary(summary: SlideSummary, folder: Path) -> None:
    """Write summary.json, whole or not at all."""
    write_json(folder / SUMMARY, summary.model_dump(mode="json"), seal=False)


def read_summary(folder: Path) -> SlideSummary:
    """Read a slide's summary.json.

    Raises:
        ArtifactError: missing, damaged, or of another version.
    """
    path = folder / SUMMARY
    try:
        return SlideSummary.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactError(
            has=f"{path}, which is missing, damaged or of another version ({str(error).splitlines()[0]})",
            needs="the summary of a slide as `evenpatch predict` writes it",
            do=f"delete the folder {folder.name} and run `evenpatch predict` again",
        ) from error


def _groups(patches: pd.DataFrame, classes: int, attributes: int) -> tuple[tuple[int, ...], ...]:
    counts = Counter(zip(patches["prediction"].tolist(), patches["attribute"].tolist(), strict=True))
    return tuple(tuple(counts[k, a] for a in range(attributes)) for k in range(classes))
