"""Whether the subject's probabilities are what they say, and whether its verdicts are worth acting on.

Of the one training whose patches are shown: all of them, and those of every attribute value.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.report.subject import Subject
from pipeline.results.clinical.operating_point import ThresholdCounts
from pipeline.results.verdict import estimable

_APART = 0.05
"""Mean probability and share of tumor are clearly apart beyond it."""


class Promise(NamedTuple):
    """What probabilities of some patches say on average, and what is there.

    Attributes:
        predicted, tumor: mean probability and share of tumor; NaN where there are too few patches.
        broken: whether they lie over 5 points apart, and further than chance alone takes probabilities from
            the shares that they promise.
    """

    name: str
    predicted: float
    tumor: float
    broken: bool


def promises(subject: Subject) -> tuple[Promise, ...]:
    """Of all patches of the shown training, and of every attribute value."""
    found = []
    for (name, own), kinds, part in zip(
        subject.by_value.items(), judged_of(subject), subject.parts, strict=False
    ):
        known = all(kinds.values())
        predicted, tumor = (float(own[kind].mean()) if known else np.nan for kind in ("probability", "label"))
        least = np.fmax(_APART, part.calibration.by_chance)
        found.append(Promise(name, predicted, tumor, broken=abs(predicted - tumor) > least))
    return tuple(found)


def own_benefits(subject: Subject, threshold: float) -> tuple[float, ...]:
    """Net benefit at the model's own decision threshold, of the same parts; NaN where there are too few."""
    counts = ThresholdCounts.of(subject.run.patches, subject.board.layout.groups.n_groups)
    return tuple(
        own.own_benefit(groups, threshold) if all(kinds.values()) else np.nan
        for kinds, (_, own, groups) in zip(
            judged_of(subject), pairs_of(counts, list(subject.by_value)), strict=True
        )
    )


def judged_of(subject: Subject) -> list[dict[str, bool]]:
    """Of all patches and every attribute value, whether their tumor and their other patches are enough."""
    whole, groups = subject.method.operating[0], subject.method.groups
    n_attributes = len(subject.board.told.attributes)
    return [
        {"tumor": estimable(whole.sensitivity), "rest": estimable(whole.specificity)},
        *(
            {"rest": estimable(groups[a]), "tumor": estimable(groups[n_attributes + a])}
            for a in range(n_attributes)
        ),
    ]


def pairs_of(
    counts: ThresholdCounts, names: Sequence[str]
) -> Iterator[tuple[str, ThresholdCounts, tuple[int, int]]]:
    """Name, counts and numbers of both groups: of all patches, and of every attribute value."""
    yield names[0], counts.of_all(), (0, 1)
    n_attributes = len(names) - 1
    for a, name in enumerate(names[1:]):
        yield name, counts, (a, n_attributes + a)
