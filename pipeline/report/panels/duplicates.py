"""Slides of the same content: in several splits, of several patients, or with labels that contradict."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.report.evidence import Evidence
from pipeline.report.sources import Sources

_SHOWN = 50


def present(sources: Sources) -> bool:
    """Whether any two slides are the same."""
    return bool(duplicates(sources.evidence))


def values(sources: Sources) -> Mapping[str, Any]:
    """Every group of equal slides, those that do harm first."""
    found = duplicates(sources.evidence)
    return {
        "groups": found[:_SHOWN],
        "total": len(found),
        "leaking": sum(len(each["splits"]) > 1 for each in found),
        "conflicting": sum(each["conflict"] for each in found),
        "strangers": sum(len(each["patients"]) > 1 for each in found),
    }


def duplicates(evidence: Evidence) -> list[dict[str, Any]]:
    """Groups of slides with the same fingerprint, and where a file holds several images, of the same one.

    `labels`: of each slide, where all of its patches have one; else that it has both.
    """
    slides = evidence.slides
    keys = ["fingerprint", *(name for name in ("series",) if name in slides)]
    twins = slides[slides.duplicated(keys, keep=False) & slides["fingerprint"].notna()]
    patches = evidence.index[evidence.index["slide_id"].isin(twins["slide_id"])]
    by_slide = patches.groupby("slide_id")
    labels, splits = by_slide["label"].agg(["min", "max"]), by_slide["split"].first()
    groups = [_group(part, labels, splits) for _, part in twins.groupby(keys, sort=True, dropna=False)]
    return sorted(groups, key=lambda each: (-each["conflict"], -len(each["splits"]), each["slides"]))


def _group(part: pd.DataFrame, labels: pd.DataFrame, splits: pd.Series) -> dict[str, Any]:
    names = sorted(part["slide_id"].tolist())
    known = [name for name in names if name in labels.index]
    ends = labels.loc[known, ["min", "max"]].to_numpy(np.int64).tolist()
    told = [_label(lowest, highest) for lowest, highest in ends]
    return {
        "slides": names,
        "patients": sorted(set(part["patient_id"].tolist())),
        "splits": sorted({str(splits.at[name]) for name in known}),
        "labels": sorted(set(told)),
        "conflict": len(set(told)) > 1,
    }


def _label(lowest: int, highest: int) -> str:
    if lowest != highest:
        return "tumor and non-tumor patches"
    return "tumor" if highest else "non-tumor"
