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
from models.metrics.audit.effects import Effects, Gap, Tie, binned_effects
from models.metrics.audit.slices import Slice, worst_slices
from pipeline.results.audit.attributes import Attribute, Kind
from pipeline.results.audit.gathering import tissue_strata
from pipeline.results.audit.record import Conflict, ErrorGap, Finding
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.contrasts import told_together

MOST_SLICES = 5
_NOTHING = Tie(np.nan, np.nan, np.nan)


class Judged(NamedTuple):
    """A finding without its place among others, and what tells whether it is told."""

    finding: Finding
    tie: Effects
    gaps: tuple[Effects, ...]
    conflict: Effects


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
        bin_N: NDArray[np.int64],
        n_bins: int,
        chosen_N: NDArray[np.bool_],
        settings: BootstrapSettings,
        stratum_N: NDArray[np.int64] | None,
    ) -> Effects:
        return binned_effects(
            outcome_N[chosen_N],
            bin_N[chosen_N],
            n_bins,
            patient=np.unique(self.patient_N[chosen_N], return_inverse=True)[1],
            stratum=None if stratum_N is None else stratum_N[chosen_N],
            **settings.minimums(),
        )

    def judge(self, attribute: Attribute, settings: BootstrapSettings) -> Judged:
        stratum_N = None if attribute.kind is Kind.TISSUE else self.stratum_N
        bin_N, n_bins = attribute.bin_N, len(attribute.bins)
        tumor_N = self.label_N == 1
        plain, tie = (
            self.effects(tumor_N, bin_N, n_bins, self.training_N, settings, within)
            for within in (None, stratum_N)
        )
        gaps = tuple(
            self.effects(
                self.correct_N, bin_N, n_bins, self.tested_N & (self.label_N == label), settings, stratum_N
            )
            for label in (0, 1)
        )
        speaks_N = np.append(tie.speaks_for_B, NONE)[bin_N]
        agrees_N = np.where(speaks_N == NONE, NONE, speaks_N == self.label_N).astype(np.int64)
        alike_N = self.label_N if stratum_N is None else 2 * stratum_N + self.label_N
        conflict = self.effects(self.correct_N, agrees_N, 2, self.tested_N, settings, alike_N)
        finding = Finding(
            attribute=attribute,
            tie=plain.tie(settings.level),
            beyond=_NOTHING if stratum_N is None else tie.tie(settings.level),
            tumor_B=plain.mean_B,
            tied=tie.gap(settings.level),
            gap=_error_gap(gaps, settings.level),
            conflict=_conflict(conflict, settings.level),
        )
        return Judged(finding, tie, gaps, conflict)

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


def _conflict(effects: Effects, level: float) -> Conflict | None:
    """Of the attribute's agreement with the label."""
    if not len(effects.pair_C2):
        return None
    difference, reach = float(effects.difference_C[0]), float(effects.spread_C.reach((1 - level) / 2)[0])
    low, high = max(difference - reach, -1), min(difference + reach, 1)
    return Conflict(Gap(0, 1, difference, low, high), *effects.mean_B.tolist())


def corrected(judged: Sequence[Judged], level: float) -> list[Finding]:
    """Told or not: ties all together; conflicts of those whose tie is told, and gaps of the others.

    Whose tie is told was found on other patients, so that the conflicts of these are a family of their own;
    those of tumor's possible look and of the place, which are no candidates, are another.
    """
    ties = told_together([partial(_tie_excludes, each.tie) for each in judged], level)
    families: dict[tuple[bool, bool], list[int]] = {}
    for place, (each, tie) in enumerate(zip(judged, ties, strict=True)):
        other = each.finding.attribute.kind in (Kind.LOOK, Kind.PLACE)
        families.setdefault((tie, tie and other), []).append(place)
    told: set[int] = set()
    for (tie, _), places in families.items():
        excludes = [
            partial(_conflict_excludes, judged[place].conflict)
            if tie
            else partial(_gap_excludes, judged[place].gaps)
            for place in places
        ]
        sure = told_together(excludes, level)
        told |= {place for place, each in zip(places, sure, strict=True) if each}
    return [
        replace(
            each.finding,
            tie_told=tie,
            conflict_told=tie and place in told,
            gap_told=not tie and place in told,
        )
        for place, (each, tie) in enumerate(zip(judged, ties, strict=True))
    ]


def _tie_excludes(effects: Effects, level: float) -> bool:
    return bool((effects.sure_C(level) > 0).any())


def _conflict_excludes(effects: Effects, level: float) -> bool:
    """Only where errors lie against the attribute: those along it are no sign of its use."""
    return bool(((effects.difference_C > 0) & (effects.sure_C(level) > 0)).any())


def _gap_excludes(gaps: tuple[Effects, ...], level: float) -> bool:
    one, other = gaps
    sure = (one.sure_C(level, len(other.pair_C2)), other.sure_C(level, len(one.pair_C2)))
    return any(bool((sure_C > 0).any()) for sure_C in sure)
