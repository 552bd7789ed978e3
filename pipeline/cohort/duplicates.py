"""Slides with the same content under several names: in a split they count twice, across splits they leak."""

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Twins:
    """Slides of the same bytes.

    Attributes:
        slides: their names.
        patients: theirs, each once.
        splits: that their patients are in, each once.
        labels: of their patches in words, each once; a slide may have patches of both.
    """

    slides: tuple[str, ...]
    patients: tuple[str, ...]
    splits: tuple[str, ...]
    labels: tuple[str, ...]

    @property
    def across(self) -> bool:
        """Whether more than one split has them."""
        return len(self.splits) > 1

    @property
    def conflicting(self) -> bool:
        """Whether the same content has different labels."""
        return len(self.labels) > 1


def twins_of(slides: pd.DataFrame, patches: pd.DataFrame) -> tuple[Twins, ...]:
    """Groups of slides with the same content, those across splits and with conflicting labels first.

    Args:
        slides: artifacts.SLIDES; of a file with several images, `series` tells which one.
        patches: slide_id, label and split of each.
    """
    keys = ["fingerprint", *(name for name in ("series",) if name in slides)]
    same = slides[slides.duplicated(keys, keep=False) & slides["fingerprint"].notna()]
    by_slide = patches[patches["slide_id"].isin(same["slide_id"])].groupby("slide_id")
    labels, splits = by_slide["label"].agg(["min", "max"]), by_slide["split"].first()
    found = [_twins(rows, labels, splits) for _, rows in same.groupby(keys, dropna=False)]
    return tuple(sorted(found, key=lambda twins: (not twins.across, not twins.conflicting, twins.slides)))


def _twins(rows: pd.DataFrame, labels: pd.DataFrame, splits: pd.Series) -> Twins:
    known = [name for name in sorted(rows["slide_id"]) if name in labels.index]
    ends = labels.loc[known, ["min", "max"]].to_numpy(np.int64).tolist()
    return Twins(
        slides=tuple(sorted(rows["slide_id"])),
        patients=tuple(sorted(set(rows["patient_id"]))),
        splits=tuple(sorted({str(splits.at[name]) for name in known})),
        labels=tuple(sorted({_label(lowest, highest) for lowest, highest in ends})),
    )


def _label(lowest: int, highest: int) -> str:
    if lowest != highest:
        return "tumor and non-tumor patches"
    return "tumor" if highest else "non-tumor"
