"""Which methods are set against each other, their paired differences, and what these say together."""

import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from models.metrics.intervals import Interval, PatientStatistics, PatientSums, paired_difference
from pipeline.files import NOT_ESTIMABLE
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.figures import ALWAYS, FAMILY, Contrast, Method, Metric, Scoreboard
from pipeline.results.seeds import Pool
from pipeline.results.terms import Terms
from pipeline.results.tested import CONTROL, base_of, decided_name, rule_of
from pipeline.results.verdict import SURE, reading_of
from pipeline.training.layout import GIVEN

Sums = Mapping[str, PatientSums]
Excludes = Callable[[float], bool]
"""Whether a difference's interval of a level excludes 0; of a higher level only where of a lower one."""


def contrasts_of(
    methods: Sequence[Method],
    terms: Terms,
    threshold: str,
    metrics: Sequence[Metric],
    settings: BootstrapSettings,
    sums_of: Callable[[Pool], Sums],
    *,
    judged: bool,
) -> tuple[Contrast, ...]:
    """Every difference of the family, in order; its verdict is its reading by itself.

    Args:
        methods: of one scoreboard.
        terms: which are candidates, and what they are set against.
        threshold: of the scoreboard.
        metrics: the columns.
        settings: how intervals are drawn.
        sums_of: statistics of other seeds of a method than all of its own.
        judged: whether there are patients enough to read a difference.
    """
    return tuple(
        replace(
            _contrast(one, other, metrics, settings, _paired(one, other, sums_of), judged=judged),
            primary=terms.is_primary(one.algorithm, other.algorithm, threshold),
        )
        for one, other in _pairs(methods, terms)
        if _meet(one, other)
    )


def beside_of(
    methods: Sequence[Method],
    terms: Terms,
    metrics: Sequence[Metric],
    settings: BootstrapSettings,
    sums_of: Callable[[Pool], Sums],
    *,
    judged: bool,
) -> tuple[Contrast, ...]:
    """Candidates minus the primary reference as every other rule than the control's decides it.

    No part of the family, which was fixed before: each is read by itself. Arguments as of `contrasts_of`.
    """
    by_name = {each.algorithm: each for each in methods}
    reference = terms.judging.primary.reference
    names = [decided_name(reference, rule) for rule in terms.decided if rule != CONTROL]
    return tuple(
        _contrast(one, other, metrics, settings, _paired(one, other, sums_of), judged=judged)
        for one in methods
        for other in map(by_name.get, names)
        if other is not None and terms.is_candidate(one.algorithm) and _meet(one, other)
    )


def _pairs(methods: Sequence[Method], terms: Terms) -> Iterator[tuple[Method, Method]]:
    """Every candidate with its references and with the control, and with the latter decided alike.

    Where no references are named, they are every other method that is decided plainly.
    """
    by_name = {each.algorithm: each for each in methods}
    candidates = [each for each in methods if terms.is_candidate(each.algorithm)]
    order = terms.references or (terms.judging.primary.reference, *ALWAYS)
    rank = {name: place for place, name in enumerate(order)}
    plain = [name for name in by_name if rule_of(name) is None and not terms.is_candidate(name)]
    names = plain if terms.references is None else [name for name in plain if name in rank]
    names.sort(key=lambda name: rank.get(name, len(rank)))
    control = by_name.get(terms.control)
    for one in candidates:
        yield from ((one, by_name[name]) for name in names)
        if control is not None:
            decided = by_name.get(decided_name(one.algorithm, CONTROL))
            yield from ((each, control) for each in (one, decided) if each not in (None, control))


def _meet(one: Method, other: Method) -> bool:
    """Whether both were tested on the same groups of patches: of a study, in some repeat."""
    return one.pool.runs[0].source == "split" or not set(one.pool.seeds).isdisjoint(other.pool.seeds)


def _paired(
    one: Method, other: Method, sums_of: Callable[[Pool], Sums]
) -> Mapping[str, tuple[PatientSums, PatientSums]]:
    """Sums of both; of a study, of the repeats that both have, for only these are of the same groups."""
    both = set(one.pool.seeds) & set(other.pool.seeds)
    sums = [
        each.statistics
        if each.pool.runs[0].source == "split" or both == set(each.pool.seeds)
        else sums_of(each.pool.of(both))
        for each in (one, other)
    ]
    return {table: (sums[0][table], sums[1][table]) for table in sums[0]}


def _contrast(
    one: Method,
    other: Method,
    metrics: Sequence[Metric],
    settings: BootstrapSettings,
    sums: Mapping[str, tuple[PatientSums, PatientSums]],
    *,
    judged: bool,
) -> Contrast:
    tables = {metric.table for metric in metrics}
    found = {table: paired_difference(*sums[table], **settings.drawn) for table in tables}
    if one.pool.runs[0].source == "split" and one.pool.seeds != other.pool.seeds:
        # Seeds that do not correspond have no differences of their own, whose spread one could give.
        found = {table: _without_spread(figures) for table, figures in found.items()}
    figures = {metric.key: found[metric.table][metric.figure] for metric in metrics}
    readings = {key: reading_of(interval, judged=judged) for key, interval in figures.items()}
    return Contrast(
        candidate=one,
        reference=other,
        figures=figures,
        groups=numbered(found["groups"], "group"),
        strata=numbered(found["groups"], "auroc"),
        readings=readings,
        primary=False,
        verdict=readings[FAMILY],
        sums=sums["groups"],
    )


def _without_spread(figures: Mapping[str, Interval]) -> dict[str, Interval]:
    return {name: replace(interval, spread=math.nan) for name, interval in figures.items()}


def numbered(figures: Mapping[str, Interval], kind: str) -> tuple[Interval, ...]:
    """The figures `<kind>_<number>`, in order: of every group, bin, label or attribute value."""
    return tuple(
        interval
        for name, interval in figures.items()
        if name.startswith(f"{kind}_") and name.removeprefix(f"{kind}_").isdecimal()
    )


def absent(methods: Sequence[Method], terms: Terms, threshold: str) -> tuple[str, ...]:
    """Differences that are always told and are not there, in words; a given attribute has no control."""
    present = {each.algorithm for each in methods}
    candidates = [each.name for each in methods if terms.is_candidate(each.algorithm)]
    always = ALWAYS if threshold == GIVEN else (*ALWAYS, terms.control)
    if not candidates:
        name = terms.named(terms.judging.candidate)
        return tuple(f"{name} − {terms.named(other)}: {name} is not among the runs." for other in always)
    return (
        *(
            f"{candidate} − {terms.named(name)}: {terms.named(name)} is {_why_not(name, present)}."
            for candidate in candidates
            for name in always
            if name not in present
        ),
        *(
            f"{one.name} − {other.name}: {NOT_ESTIMABLE}, for no repeat has both."
            for one, other in _pairs(methods, terms)
            if not _meet(one, other)
        ),
    )


def _why_not(name: str, present: Container[str]) -> str:
    # The reason stands in the remarks (pipeline.results.decided).
    return NOT_ESTIMABLE if base_of(name) in present else "not among the runs"


def corrected(boards: Sequence[Scoreboard]) -> tuple[Scoreboard, ...]:
    """The scoreboards of one source with the verdicts that their differences allow together.

    The family are the differences of the worst-group accuracy in all of them, whatever the threshold; without
    the primary comparison, and without those that cannot be read.
    """
    family = [
        (contrast, board.settings)
        for board in boards
        for contrast in board.contrasts
        if not contrast.primary and contrast.readings[FAMILY] in (*SURE, "open")
    ]
    if not family:
        return tuple(boards)
    told = told_together([partial(_excludes_zero, *member) for member in family], family[0][1].level)
    lost = [contrast for (contrast, _), sure in zip(family, told, strict=True) if not sure]

    def judged(contrast: Contrast) -> Contrast:
        return replace(contrast, verdict="open") if any(contrast is one for one in lost) else contrast

    return tuple(
        replace(board, family=len(family), contrasts=tuple(map(judged, board.contrasts))) for board in boards
    )


def _excludes_zero(contrast: Contrast, settings: BootstrapSettings, level: float) -> bool:
    if contrast.readings[FAMILY] not in SURE:
        # An interval of a higher level holds the one that is read by itself, and so its 0.
        return False
    drawn = settings.drawn | {"level": level}
    return paired_difference(*map(_without_ranking, contrast.sums), **drawn)[FAMILY].excludes_zero


def _without_ranking(sums: PatientSums) -> PatientSums:
    """The same without what takes longest, and has no say in a group's accuracy."""
    return replace(sums, rankings=()) if isinstance(sums, PatientStatistics) else sums


def told_together(excludes: Sequence[Excludes], level: float) -> tuple[bool, ...]:
    """Which differences are told from 0, all of them together at `level`.

    Holm, A simple sequentially rejective multiple test procedure (1979): of m differences the first is told
    at 1 - (1 - level) / m, and each one that is told lets the others be read at a lower level. The p-value
    of a difference is one minus the highest level whose interval excludes 0; asked for the levels that
    Holm needs, the intervals say the same without naming it.

    >>> told_together([lambda level: level < 0.98, lambda level: level < 0.96], 0.95)
    (True, True)
    >>> told_together([lambda level: level < 0.96, lambda level: level < 0.97], 0.95)
    (False, False)
    """
    told: set[int] = set()
    while len(told) < len(excludes):
        step = first_level(len(excludes) - len(told), level)
        found = {i for i, excluded in enumerate(excludes) if i not in told and excluded(step)}
        if not found:
            break
        told |= found
    return tuple(i in told for i in range(len(excludes)))


def first_level(n_differences: int, level: float) -> float:
    """Level at which the first of so many differences is told from 0."""
    return 1 - (1 - level) / n_differences
