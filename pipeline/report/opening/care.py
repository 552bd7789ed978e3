"""In which ranges of the tissue fraction a model is to be used with care, by one stated rule.

The patches of each label are cut into tenths by their tissue fraction (models.metrics.along_attribute), and a
tenth is marked where the lower end of its accuracy's interval lies under a bound: the test patients leave
open whether the model is better there. Tenths with too few patches or patients are not judged. Those between
two marked ones, or beyond a marked one at either end, count to its range: what was not tested is not trusted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import isfinite
from typing import Self

from models.metrics.along_attribute import AttributeBins
from models.metrics.intervals import Interval


@dataclass(frozen=True)
class Span:
    """A range of the tissue fraction; without an end where it reaches to 0 or to 1."""

    low: float | None
    high: float | None

    @property
    def told(self) -> str:
        """In words, after "a patch holds".

        >>> Span(None, 0.6).told, Span(0.2, 0.3).told, Span(0.8, None).told
        ('under 60 % tissue', '20 to 30 % tissue', '80 % tissue or more')
        """
        low, high = (None if end is None else f"{100 * end:g}" for end in (self.low, self.high))
        if low is None:
            return "any tissue" if high is None else f"under {high} % tissue"
        return f"{low} % tissue or more" if high is None else f"{low} to {high} % tissue"


@dataclass(frozen=True)
class Care:
    """What is known of one label's patches along the tissue fraction.

    Attributes:
        label: 1 for tumor, whose errors are misses; 0 for non-tumor, whose errors are false alarms.
        marked: ranges to be used with care, ascending.
        unknown: ranges of tenths that could not be judged and are in no marked range, ascending.
        judged, tenths: how many could be, of how many.
    """

    label: int
    marked: tuple[Span, ...]
    unknown: tuple[Span, ...]
    judged: int
    tenths: int

    @property
    def everywhere(self) -> bool:
        """Whether every tenth that could be judged is marked."""
        return self.marked == (Span(None, None),)

    @classmethod
    def of(cls, label: int, bins: AttributeBins, interval_B: Sequence[Interval], below: float) -> Self:
        """By the rule of this module.

        Args:
            label: whose bins.
            bins: of every label.
            interval_B: accuracy of every bin of every label; NaN where it is not estimable.
            below: bound on the lower end.
        """
        own = [interval_B[b] for b in bins.of_label(label)]
        weak_I = [interval.low < below if isfinite(interval.low) else None for interval in own]
        edges = bins.edges.tolist()
        runs = _marked(weak_I)
        covered = {place for first, last in runs for place in range(first, last + 1)}
        open_I = [weak is None and place not in covered for place, weak in enumerate(weak_I)]
        return cls(
            label=label,
            marked=tuple(_span(*run, edges) for run in runs),
            unknown=tuple(_span(*run, edges) for run in _runs(open_I)),
            judged=len(own) - weak_I.count(None),
            tenths=len(own),
        )


def _marked(weak_I: Sequence[bool | None]) -> list[tuple[int, int]]:
    """First and last place of every range: weak ones, with what is not judged between or beyond them."""
    known = [place for place, weak in enumerate(weak_I) if weak is not None]
    found = []
    for weak, places in groupby(known, key=lambda place: weak_I[place]):
        own = [*places]
        if weak:
            first = 0 if own[0] == known[0] else own[0]
            last = len(weak_I) - 1 if own[-1] == known[-1] else own[-1]
            found.append((first, last))
    return found


def _runs(open_I: Sequence[bool]) -> list[tuple[int, int]]:
    """First and last place of every unbroken run."""
    runs = [[*places] for is_open, places in groupby(range(len(open_I)), key=open_I.__getitem__) if is_open]
    return [(places[0], places[-1]) for places in runs]


def _span(first: int, last: int, edges: Sequence[float]) -> Span:
    return Span(edges[first] if first > 0 else None, edges[last + 1] if last + 2 < len(edges) else None)


def care_told(cares: Sequence[Care], below: float) -> tuple[str, ...]:
    """What to take care of, in sentences: first where, then what is not known."""
    if not any(care.judged for care in cares):
        return ("In which ranges of tissue it is weak cannot be said: too few test patches.",)
    if all(care.everywhere for care in cares if care.judged):
        where = (
            "Use with care whatever the tissue: in no tenth of the tissue fraction that could be judged do "
            f"the test patients show an accuracy of {100 * below:g} % or more."
        )
    else:
        where = _where(cares, below)
    return (where, *_unknown(cares))


def _reasons(below: float) -> dict[int, str]:
    """What an interval leaves open that begins under the bound, by label.

    >>> _reasons(0.6)[1]
    'it may miss over 40 of 100 tumor patches'
    """
    share = "over half of the" if below == 0.5 else f"over {100 - 100 * below:.3g} of 100"
    return {
        1: f"it may miss {share} tumor patches",
        0: f"{share} non-tumor patches may be false alarms",
    }


def _where(cares: Sequence[Care], below: float) -> str:
    reasons = _reasons(below)
    by_range: dict[str, list[str]] = {}
    for care in cares:
        for span in care.marked:
            by_range.setdefault(span.told, []).append(reasons[care.label])
    if not by_range:
        return (
            "No range of tissue is marked for care: wherever it could be judged, the test patients show an "
            f"accuracy of {100 * below:g} % or more."
        )
    parts = [f"{where} ({', and '.join(why)})" for where, why in by_range.items()]
    return f"Use with care where a patch holds {_listed(parts, 'or')}."


def _unknown(cares: Sequence[Care]) -> list[str]:
    names = {1: "tumor", 0: "non-tumor"}
    parts = [
        f"{names[care.label]} patches with {_listed([span.told for span in care.unknown], 'or')}"
        for care in cares
        if care.unknown
    ]
    return [f"Too few test patches to say: {'; '.join(parts)}."] if parts else []


def _listed(parts: Sequence[str], word: str) -> str:
    """
    >>> _listed(["a", "b", "c"], "or")
    'a, b or c'
    """
    *first, last = parts
    return f"{', '.join(first)} {word} {last}" if first else last
