"""Every attribute held against labels and errors, and which of them are told, all attributes together."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.data.splitting import TRAIN
from models.metrics.audit.bins import NONE
from models.metrics.audit.effects import Effects, Tie, binned_effects
from models.metrics.audit.slices import Slice, worst_slices
from pipeline.results.audit.attributes import Attribute, Kind
from pipeline.results.audit.gathering import tissue_strata
from pipeline.results.audit.record import ErrorGap, Finding
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.contrasts import told_together

MOST_SLICES = 5
_NOTHING = Tie(np.nan, np.nan, np.nan)


class Judged(NamedTuple):
    """A finding without its place among others, and what tells whether it is told."""

    finding: Finding
    tie: Effects
    gaps: tuple[Effects, ...]


@dataclass(frozen=True)
class Rows:
    """Every patch of the index."""

    label_N: NDArray[np.int64]
    patient_N: NDArray[np.int64]
    stratum_N: NDArray[np.int64]
    training_N: NDArray[np.bool_]
    tested_N: NDArray[np.bool_]
    correct_N: NDArray[np.bool_]

    @classmethod
    def of(cls, patches: pd.DataFrame, predictions: pd.DataFrame | None) -> "Rows":
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

    def judge(self, attribute: Attribute, settings: BootstrapSettings) -> Judged:
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
        return Judged(
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


def corrected(judged: Sequence[Judged], level: float) -> list[Finding]:
    """Told or not: ties all together, gaps in three families.

    Whose tie is told was found on other patients, so that the gaps of these are a family of their own; those
    of tumor's possible look, which are no candidates, are another, and all other gaps the third.
    """
    ties = told_together([partial(_tie_excludes, each.tie) for each in judged], level)
    families: dict[tuple[bool, bool], list[int]] = {}
    for place, (each, tie) in enumerate(zip(judged, ties, strict=True)):
        look = each.finding.attribute.kind is Kind.LOOK
        families.setdefault((tie, tie and look), []).append(place)
    told = {
        place: sure
        for places in families.values()
        for place, sure in zip(
            places,
            told_together([partial(_gap_excludes, judged[place].gaps) for place in places], level),
            strict=True,
        )
    }
    return [
        replace(each.finding, tie_told=tie, gap_told=told[place])
        for place, (each, tie) in enumerate(zip(judged, ties, strict=True))
    ]


def _tie_excludes(effects: Effects, level: float) -> bool:
    return bool((effects.sure_C(level) > 0).any())


def _gap_excludes(gaps: tuple[Effects, ...], level: float) -> bool:
    one, other = gaps
    sure = (one.sure_C(level, len(other.pair_C2)), other.sure_C(level, len(one.pair_C2)))
    return any(bool((sure_C > 0).any()) for sure_C in sure)
