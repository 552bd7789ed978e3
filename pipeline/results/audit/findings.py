"""The audit: every attribute's tie to the label, its gap in accuracy, and what both allow to say."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.data.attributes import cramers_v
from models.data.splitting import TRAIN
from models.metrics.audit.bins import NONE
from models.metrics.audit.concentration import Concentration, concentration
from models.metrics.audit.effects import Effects, Gap, Tie, binned_effects
from models.metrics.audit.slices import Slice, worst_slices
from pipeline.results.audit.attributes import Attribute, Kind, LeftOut, split_up
from pipeline.results.audit.gathering import attributes_of, tissue_strata
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.contrasts import told_together

MOST_SLICES = 5
_CROSSED = 6
"""Attributes whose intersections are looked at, the first of the ranking, and tissue."""
_SAME = 0.5
"""Cramér's V of two attributes' bins from which on the lower ranked one is told to go with the higher."""
_NOTHING = Tie(np.nan, np.nan, np.nan)


class Verdict(StrEnum):
    """What an attribute's tie and gap allow to say."""

    KNOWN = "the known shortcut"
    CANDIDATE = "candidate shortcut"
    LOOK = "tumor’s own look, or a shortcut"
    TIED = "goes with the label only"
    GAP = "goes with errors only"
    OPEN = "nothing shown"


class ErrorGap(NamedTuple):
    """The difference in accuracy between two bins within a label.

    Attributes:
        gap: at equal tissue (of tissue itself: plain), with the interval of all pairs of both labels.
        worse, better: plain accuracies of the lower and of the higher bin.
    """

    label: int
    gap: Gap
    worse: float
    better: float


@dataclass(frozen=True)
class Finding:
    """One attribute.

    Attributes:
        tie: to the label, on training patients: Cramér's V. beyond: the same at equal tissue.
        tumor_B: share of tumor in every bin. tied: the bins that differ most surely in it, at equal tissue.
        gap: of accuracy on test patients; none where nothing can be told.
        tie_told, gap_told: whether they are told from 0, corrected for the number of attributes (Holm).
        goes_with: title of an attribute ranked higher that is much the same; empty where there is none.
    """

    attribute: Attribute
    tie: Tie
    beyond: Tie
    tumor_B: NDArray[np.float64]
    tied: Gap | None
    gap: ErrorGap | None
    tie_told: bool
    gap_told: bool
    goes_with: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.tie_told and self.gap_told:
            kinds = {Kind.TISSUE: Verdict.KNOWN, Kind.LOOK: Verdict.LOOK}
            return kinds.get(self.attribute.kind, Verdict.CANDIDATE)
        if self.tie_told:
            return Verdict.TIED
        return Verdict.GAP if self.gap_told else Verdict.OPEN


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        tissue: the attribute that is known, by which all others are compared; none where it does not vary.
        findings: of all others, ranked: by verdict, then by the lower end of the tie beyond tissue, its
            estimate, and the name.
        left_out: columns that are no attributes.
        slices: the worst intersections. looked_at: of how many.
        patients, slides: where half of the errors lie; none without errors.
        training, tested: patients of training, and of the test.
    """

    tissue: Finding | None
    findings: tuple[Finding, ...]
    left_out: tuple[LeftOut, ...]
    attributes: tuple[Attribute, ...]
    slices: tuple[Slice, ...]
    looked_at: int
    patients: Concentration | None
    slides: Concentration | None
    training: int
    tested: int

    @property
    def candidates(self) -> tuple[Finding, ...]:
        """Those that go with the label and with the errors, and are nothing of tumor's own."""
        return tuple(each for each in self.findings if each.verdict is Verdict.CANDIDATE)


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
    rows = _Rows.of(patches, predictions)
    found, left_out = split_up(attributes_of(patches, slides, statistics))
    judged = _corrected([rows.judge(each, settings) for each in found], settings.level)
    tissue = next((each for each in judged if each.attribute.kind is Kind.TISSUE), None)
    others = sorted((each for each in judged if each is not tissue), key=_rank)
    others = _grouped(others, rows.training_N)
    crossed = [each.attribute for each in (tissue, *others) if each is not None and not each.goes_with]
    crossed = crossed[:_CROSSED]
    slices, looked_at = rows.slices([each.bin_N for each in crossed], settings)
    wrong_T = ~rows.correct_N[rows.tested_N]
    clusters = [
        concentration(
            wrong_T, np.unique(patches.loc[rows.tested_N, column].astype(str), return_inverse=True)[1]
        )
        if wrong_T.any()
        else None
        for column in ("patient_id", "slide_id")
    ]
    return Audit(
        tissue=tissue,
        findings=tuple(others),
        left_out=left_out,
        attributes=tuple(crossed),
        slices=slices,
        looked_at=looked_at,
        patients=clusters[0],
        slides=clusters[1],
        training=len(np.unique(rows.patient_N[rows.training_N])),
        tested=len(np.unique(rows.patient_N[rows.tested_N])),
    )


class _Judged(NamedTuple):
    """A finding without its place among others, and what tells whether it is told."""

    finding: Finding
    tie: Effects
    gaps: tuple[Effects, ...]


@dataclass(frozen=True)
class _Rows:
    """Every patch of the index."""

    label_N: NDArray[np.int64]
    patient_N: NDArray[np.int64]
    stratum_N: NDArray[np.int64]
    training_N: NDArray[np.bool_]
    tested_N: NDArray[np.bool_]
    correct_N: NDArray[np.bool_]

    @classmethod
    def of(cls, patches: pd.DataFrame, predictions: pd.DataFrame | None) -> "_Rows":
        label_N = patches["label"].to_numpy(np.int64)
        answer_N = np.full(len(patches), NONE)
        if predictions is not None:
            answers = predictions.set_index("patch_id")["prediction"]
            answer_N = answers.reindex(patches["patch_id"]).fillna(NONE).to_numpy(np.int64)
        return cls(
            label_N=label_N,
            patient_N=np.unique(patches["patient_id"].astype(str), return_inverse=True)[1],
            stratum_N=tissue_strata(patches),
            training_N=(patches["split"] == TRAIN).to_numpy(bool),
            tested_N=answer_N != NONE,
            correct_N=answer_N == label_N,
        )

    def effects(
        self,
        outcome_N: NDArray[np.bool_],
        attribute: Attribute,
        chosen_N: NDArray[np.bool_],
        settings: BootstrapSettings,
        *,
        strata: bool,
    ) -> Effects:
        return binned_effects(
            outcome_N[chosen_N],
            attribute.bin_N[chosen_N],
            len(attribute.bins),
            patient=np.unique(self.patient_N[chosen_N], return_inverse=True)[1],
            stratum=self.stratum_N[chosen_N] if strata else None,
            **settings.minimums(),
        )

    def judge(self, attribute: Attribute, settings: BootstrapSettings) -> _Judged:
        beside_tissue = attribute.kind is not Kind.TISSUE
        tumor_N = self.label_N == 1
        plain = self.effects(tumor_N, attribute, self.training_N, settings, strata=False)
        beyond = self.effects(tumor_N, attribute, self.training_N, settings, strata=True)
        gaps = tuple(
            self.effects(
                self.correct_N,
                attribute,
                self.tested_N & (self.label_N == label),
                settings,
                strata=beside_tissue,
            )
            for label in (0, 1)
        )
        tested = beyond if beside_tissue else plain
        return _Judged(
            Finding(
                attribute=attribute,
                tie=plain.tie(settings.level),
                beyond=beyond.tie(settings.level) if beside_tissue else _NOTHING,
                tumor_B=plain.mean_B,
                tied=tested.gap(settings.level),
                gap=_error_gap(gaps, settings.level),
                tie_told=False,
                gap_told=False,
            ),
            tested,
            gaps,
        )

    def slices(
        self, bins_A: Sequence[NDArray[np.int64]], settings: BootstrapSettings
    ) -> tuple[tuple[Slice, ...], int]:
        chosen = self.tested_N
        if not chosen.any():
            return (), 0
        return worst_slices(
            self.correct_N[chosen],
            self.label_N[chosen],
            np.unique(self.patient_N[chosen], return_inverse=True)[1],
            [bin_N[chosen] for bin_N in bins_A],
            most=MOST_SLICES,
            level=settings.level,
            **settings.minimums(),
        )


def _error_gap(gaps: Sequence[Effects], level: float) -> ErrorGap | None:
    """Of both labels the gap that is most surely above 0."""
    found = []
    for label, (own, other) in enumerate(zip(gaps, reversed(gaps), strict=True)):
        gap = own.gap(level, len(other.pair_C2))
        if gap is not None:
            found.append(ErrorGap(label, gap, own.mean_B[gap.low_bin], own.mean_B[gap.high_bin]))
    return max(found, key=lambda each: each.gap.low, default=None)


def _corrected(judged: Sequence[_Judged], level: float) -> list[Finding]:
    """Told or not, all attributes together, ties and gaps each by themselves."""
    ties = told_together([partial(_tie_excludes, each.tie) for each in judged], level)
    gaps = told_together([partial(_gap_excludes, each.gaps) for each in judged], level)
    return [
        replace(each.finding, tie_told=tie, gap_told=gap)
        for each, tie, gap in zip(judged, ties, gaps, strict=True)
    ]


def _tie_excludes(effects: Effects, level: float) -> bool:
    return bool((effects.sure_C(level) > 0).any())


def _gap_excludes(gaps: tuple[Effects, ...], level: float) -> bool:
    one, other = gaps
    sure = (one.sure_C(level, len(other.pair_C2)), other.sure_C(level, len(one.pair_C2)))
    return any(bool((sure_C > 0).any()) for sure_C in sure)


def _rank(finding: Finding) -> tuple[int, float, float, str]:
    order = list(Verdict)
    low, estimate = (-np.nan_to_num(value) for value in (finding.beyond.low, finding.beyond.estimate))
    return order.index(finding.verdict), float(low), float(estimate), finding.attribute.name


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
