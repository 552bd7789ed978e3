"""What the audit says of every attribute."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.metrics.audit.effects import Gap, Tie
from models.metrics.audit.slices import Slice
from pipeline.results.audit.attributes import Attribute, Kind, LeftOut


class Verdict(StrEnum):
    """What an attribute's tie and gap allow to say."""

    KNOWN = "the known shortcut"
    CANDIDATE = "candidate shortcut"
    LOOK = "tumor’s own look, or a shortcut"
    PLACE = "errors follow the place, which a patch does not show"
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


class Conflict(NamedTuple):
    """Does accuracy fall where the attribute speaks for the other label?

    A bin speaks for tumor where training patches of it are tumor more often than on average at equal tissue.

    Attributes:
        gap: of patches whose attribute speaks for their label (bin 1) minus those where it speaks for the
            other (bin 0), at equal label and tissue; of tissue itself at equal label.
        against, along: plain accuracies of both.
    """

    gap: Gap
    against: float
    along: float


@dataclass(frozen=True)
class Finding:
    """One attribute.

    Attributes:
        tie: to the label, on training patients: Cramér's V. beyond: the same at equal tissue.
        tumor_B: share of tumor in every bin. tied: the bins that differ most surely in it, at equal tissue.
        gap: of accuracy on test patients; none where nothing can be told.
        conflict: whether errors follow the tie; none where nothing can be told.
        tie_told, gap_told, conflict_told: whether they are told from 0, corrected for the number of
            attributes (Holm). Gaps are judged where no tie is told, conflicts where one is.
        goes_with: title of an attribute ranked higher that is much the same; empty where there is none.
    """

    attribute: Attribute
    tie: Tie
    beyond: Tie
    tumor_B: NDArray[np.float64]
    tied: Gap | None
    gap: ErrorGap | None
    conflict: Conflict | None
    tie_told: bool = False
    gap_told: bool = False
    conflict_told: bool = False
    goes_with: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.conflict_told:
            kinds = {Kind.TISSUE: Verdict.KNOWN, Kind.LOOK: Verdict.LOOK, Kind.PLACE: Verdict.PLACE}
            return kinds.get(self.attribute.kind, Verdict.CANDIDATE)
        if self.tie_told:
            return Verdict.TIED
        return Verdict.GAP if self.gap_told else Verdict.OPEN


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        tissue: the attribute that is known, by which all others are compared; none where it does not vary.
        findings: of all others, ranked: by verdict, look and place last, then by the lower
            end of the tie beyond tissue, its estimate, and the name.
        left_out: columns that are no attributes.
        slices: the worst intersections, exploratory. looked_at: of how many.
        training, tested: patients of training, and of the test.
    """

    tissue: Finding | None
    findings: tuple[Finding, ...]
    left_out: tuple[LeftOut, ...]
    attributes: tuple[Attribute, ...]
    slices: tuple[Slice, ...]
    looked_at: int
    training: int
    tested: int

    def of(self, verdict: Verdict) -> tuple[Finding, ...]:
        """Findings with a verdict, as they are ranked."""
        return tuple(each for each in self.findings if each.verdict is verdict)
