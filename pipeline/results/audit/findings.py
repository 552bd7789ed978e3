"""The audit: attributes gathered, judged, ranked, and crossed with each other."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.data.attributes import cramers_v
from models.metrics.audit.bins import NONE
from pipeline.results.audit.attributes import Attribute, Kind, split_up
from pipeline.results.audit.gathering import attributes_of
from pipeline.results.audit.judging import Rows, corrected
from pipeline.results.audit.record import Audit, Finding, Verdict
from pipeline.results.bootstrap import BootstrapSettings

_CROSSED = 6
"""Attributes whose intersections are looked at: tissue, and the first of the ranking.

The ranking uses the errors of the same test patches, so that intersections are exploratory: none is told.
"""
_SAME = 0.5
"""Cramér's V of two attributes' bins from which on the lower ranked one is told to go with the higher."""


def audited(
    patches: pd.DataFrame,
    slides: pd.DataFrame,
    predictions: pd.DataFrame | None,
    statistics: pd.DataFrame | None,
    settings: BootstrapSettings,
) -> Audit:
    """Audit a model on its cohort.

    Args:
        patches: the patch index with the patients' split.
        slides: artifacts.SLIDES with the cohort's own columns.
        predictions: patch_id and prediction of the test patches; none without test patients.
        statistics: hand-made statistics of these patches, where they were made.
        settings: level and minimums.
    """
    rows = Rows.of(patches, predictions)
    found, left_out = split_up(attributes_of(patches, slides, statistics))
    judged = corrected([rows.judge(each, settings) for each in found], settings.level)
    tissue = next((each for each in judged if each.attribute.kind is Kind.TISSUE), None)
    others = sorted((each for each in judged if each is not tissue), key=_rank)
    others = _grouped(others, rows.training_N)
    crossed = [each.attribute for each in (tissue, *others) if each is not None and not each.goes_with]
    crossed = crossed[:_CROSSED]
    slices, looked_at = rows.slices([each.bin_N for each in crossed], settings)
    return Audit(
        tissue=tissue,
        findings=tuple(others),
        left_out=left_out,
        attributes=tuple(crossed),
        slices=slices,
        looked_at=looked_at,
        training=len(np.unique(rows.patient_N[rows.training_N])),
        tested=len(np.unique(rows.patient_N[rows.tested_N])),
    )


def _rank(finding: Finding) -> tuple[int, bool, float, float, str]:
    order, look = list(Verdict), finding.attribute.kind in (Kind.LOOK, Kind.PLACE)
    low, estimate = (-float(np.nan_to_num(value)) for value in (finding.beyond.low, finding.beyond.estimate))
    return order.index(finding.verdict), look, low, estimate, finding.attribute.name


def _grouped(findings: Sequence[Finding], known_N: NDArray[np.bool_]) -> list[Finding]:
    """Every finding that is told, with the first one above it that is much the same on training patches."""
    heads: list[Attribute] = []
    told = []
    for each in findings:
        if each.verdict is Verdict.OPEN:
            told.append(each)
            continue
        same = next((one for one in heads if _shared(one, each.attribute, known_N) >= _SAME), None)
        if same is None:
            heads.append(each.attribute)
        told.append(replace(each, goes_with=same.title if same else ""))
    return told


def _shared(one: Attribute, other: Attribute, known_N: NDArray[np.bool_]) -> float:
    first_M, second_M = one.bin_N[known_N], other.bin_N[known_N]
    both = (first_M != NONE) & (second_M != NONE)
    shape = (len(one.bins), len(other.bins))
    cells = np.bincount(first_M[both] * shape[1] + second_M[both], minlength=shape[0] * shape[1])
    table = cells.reshape(shape)
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    return cramers_v(table) if min(table.shape) > 1 else 0.0
