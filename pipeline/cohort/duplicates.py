"""Slides with the same content under several names: in a split they count twice, across splits they leak."""

from typing import NamedTuple

import pandas as pd


class Twins(NamedTuple):
    """Slides of the same bytes.

    Attributes:
        slides: their names.
        splits: that their patients are in, each once.
        conflicting: whether slides.csv gives them different labels.
    """

    slides: tuple[str, ...]
    splits: tuple[str, ...]
    conflicting: bool

    @property
    def across(self) -> bool:
        """Whether more than one split has them."""
        return len(self.splits) > 1


def twins_of(slides: pd.DataFrame, split_of: pd.Series) -> tuple[Twins, ...]:
    """Groups of slides with the same content, those across splits and with conflicting labels first.

    Args:
        slides: artifacts.SLIDES; of a file with several images, `series` tells which one.
        split_of: split by patient_id.
    """
    series = slides["series"].fillna("") if "series" in slides else ""
    table = slides.assign(split=slides["patient_id"].map(split_of), series=series)
    found = [
        Twins(
            slides=tuple(sorted(rows["slide_id"])),
            splits=tuple(sorted(rows["split"].dropna().unique())),
            conflicting=rows["label"].dropna().nunique() > 1,
        )
        for _, rows in table.groupby(["fingerprint", "series"])
        if len(rows) > 1
    ]
    return tuple(sorted(found, key=lambda twins: (not twins.across, not twins.conflicting, twins.slides)))
