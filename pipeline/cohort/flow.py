"""Where patients, slides and patches of a cohort went: from slides.csv to the patches that were tested.

Numbers alone; pipeline.report draws them. Every step is the step before without what is told to be lost.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from models.data.splitting import SPLITS
from pipeline.files import read_csv

REASONS = {
    "no_tissue": "no tissue",
    "little_tissue": "too little tissue",
    "uncovered": "not scanned or stored",
    "ignored": "under an ignored region",
    "ambiguous_label": "tumor fraction in the ambiguous band",
}
"""Why a place of the grid gave no patch, in words (patching.tiling.planning)."""


class Count(NamedTuple):
    """So many of each; None where it is not known, or not yet cut into patches."""

    patients: int | None
    slides: int
    patches: int | None = None


class Loss(NamedTuple):
    """What was lost for one reason."""

    reason: str
    number: int


@dataclass(frozen=True)
class Part:
    """Patches of one split, or of those that were tested.

    Attributes:
        groups: patches of every group of the layout, in the order of their numbers; empty where patches
            have no groups.
        labels: patches without and with tumor.
    """

    name: str
    count: Count
    labels: tuple[int, int]
    groups: tuple[int, ...]

    @property
    def numbers(self) -> tuple[int | None, ...]:
        """Patients, slides, patches; patches by label; patches by group."""
        return (*self.count, *self.labels, *self.groups)


@dataclass(frozen=True)
class Flow:
    """Every step from the list of slides to the tested patches.

    Attributes:
        listed: in slides.csv; none where that file is gone, or has changed since it was ingested.
        left_out: of patients whom the settings leave out; no slides where slides.csv does not tell them.
        unusable: slides excluded by ingest, by the kind of error.
        usable: after ingest.
        untiled: slides excluded by tiling, by the kind of error.
        empty: slides that were tiled and gave no patch.
        places: of the grid, on all tiled slides; none where tiling did not tell what it dropped.
        dropped: places that gave no patch, by reason.
        kept: patches, and what they are of.
        unsplit: patches of patients whom no split names.
        parts: the splits.
        untested: test patches without a prediction.
        tested: patches that the figures are of; none where no patient was kept apart.
    """

    listed: Count | None
    left_out: Count | None
    unusable: tuple[Loss, ...]
    usable: Count
    untiled: tuple[Loss, ...]
    empty: int
    places: int | None
    dropped: tuple[Loss, ...]
    kept: Count
    unsplit: int
    parts: tuple[Part, ...]
    untested: int
    tested: Part | None


@dataclass(frozen=True)
class Steps:
    """What the stages wrote of a cohort.

    Attributes:
        manifest: slide_id and patient_id of slides.csv, see `read_listed`.
        left_out: patients of `ingest.exclude`.
        slides: artifacts.SLIDES.
        excluded: artifacts.EXCLUDED of ingest and tile together.
        tiled: summary.json of the tile stage.
        index: artifacts.INDEX with `split`; without patients whom no split names.
    """

    manifest: pd.DataFrame | None
    left_out: Sequence[str]
    slides: pd.DataFrame
    excluded: pd.DataFrame
    tiled: Mapping[str, Any]
    index: pd.DataFrame


def read_listed(manifest: Path) -> pd.DataFrame | None:
    """slide_id and patient_id of a slides.csv as it is now; none where it cannot be read any more."""
    try:
        return read_csv(manifest)[["slide_id", "patient_id"]]
    except (
        OSError,
        ValueError,
        KeyError,
    ):  # gone, or no such columns: the stages' own tables still tell the rest
        return None


def flow_of(steps: Steps, group_N: pd.Series | None, n_groups: int, tested: pd.DataFrame | None) -> Flow:
    """Count every step.

    Args:
        steps: what the stages wrote.
        group_N: number of every patch's group, by patch_id; none where patches have no groups.
        n_groups: how many there are.
        tested: predictions of test patches (patch_id, slide_id, patient_id, label, group); none without.
    """
    index = steps.index if group_N is None else steps.index.assign(group=steps.index["patch_id"].map(group_N))
    unusable = steps.excluded[steps.excluded["stage"] == "ingest"]
    untiled = steps.excluded[steps.excluded["stage"] == "tile"]
    dropped: Mapping[str, int] | None = steps.tiled.get("dropped")
    kept = int(steps.tiled.get("patches", len(index)))
    usable = Count(steps.slides["patient_id"].nunique(), len(steps.slides))
    listed, left_out = _listed(steps, len(unusable))
    parts = tuple(_part(name, index[index["split"] == name], n_groups) for name in SPLITS)
    last = None if tested is None else _part("tested", tested, n_groups)
    of_test = parts[-1].count.patches or 0
    return Flow(
        listed=listed,
        left_out=left_out,
        unusable=_by_error(unusable),
        usable=usable,
        untiled=_by_error(untiled),
        empty=len(steps.tiled.get("without_patches", ())),
        places=None if dropped is None else kept + sum(dropped.values()),
        dropped=tuple(
            Loss(REASONS.get(name, name.replace("_", " ")), count)
            for name, count in (dropped or {}).items()
            if count
        ),
        kept=Count(index["patient_id"].nunique(), index["slide_id"].nunique(), kept),
        unsplit=kept - len(index),
        parts=parts,
        untested=of_test - (0 if last is None else last.count.patches or 0),
        tested=last,
    )


def _listed(steps: Steps, unusable: int) -> tuple[Count | None, Count | None]:
    """What slides.csv lists, and what of it the settings leave out."""
    left = set(map(str, steps.left_out))
    manifest = steps.manifest
    if manifest is not None:
        out = manifest[manifest["patient_id"].isin(left)]
        rest = manifest[~manifest["patient_id"].isin(left)]
        seen = {*steps.slides["slide_id"], *steps.excluded["slide_id"]}
        if set(rest["slide_id"]) == seen and len(rest) == len(steps.slides) + unusable:
            gone = Count(out["patient_id"].nunique(), len(out)) if len(out) else None
            return Count(manifest["patient_id"].nunique(), len(manifest)), gone
    return None, Count(len(left), 0) if left else None


def _by_error(excluded: pd.DataFrame) -> tuple[Loss, ...]:
    """Slides by the kind of error, the most frequent first."""
    counts = excluded["error"].value_counts()
    order = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    return tuple(Loss(in_words(str(error)), int(count)) for error, count in order)


def in_words(error: str) -> str:
    """The kind of an error in words.

    >>> in_words("UnreadableSlideError")
    'unreadable slide'
    """
    return re.sub(r"(?<=.)(?=[A-Z])", " ", error.removesuffix("Error")).lower()


def _part(name: str, rows: pd.DataFrame, n_groups: int) -> Part:
    labels = rows["label"].value_counts()
    groups = rows["group"].value_counts() if "group" in rows else None
    return Part(
        name=name,
        count=Count(rows["patient_id"].nunique(), rows["slide_id"].nunique(), len(rows)),
        labels=(int(labels.get(0, 0)), int(labels.get(1, 0))),
        groups=() if groups is None else tuple(int(groups.get(g, 0)) for g in range(n_groups)),
    )
