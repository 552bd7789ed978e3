"""Which methods are set against each other, and their paired differences."""

import math
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace

from models.metrics.intervals import Interval, PatientSums, paired_difference
from pipeline.files import NOT_ESTIMABLE
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.figures import ALWAYS, FAMILY, WITHIN, Contrast, Method, Metric
from pipeline.results.names import CONTROL, base_of, decided_name, rule_of
from pipeline.results.seeds import Pool
from pipeline.results.terms import Terms
from pipeline.results.verdict import reading_of
from pipeline.training.layout import GIVEN

Sums = Mapping[str, PatientSums]


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
    """Every difference that is told, in order; its verdict is its reading by itself.

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
        strata=numbered(found["groups"], "auroc") if WITHIN in figures else (),
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
    return tuple(
        f"{candidate} − {terms.named(name)}: {terms.named(name)} is {_why_not(name, present)}."
        for candidate in candidates
        for name in always
        if name not in present
    )


def _why_not(name: str, present: Container[str]) -> str:
    # The reason stands in the remarks (pipeline.results.decided).
    return NOT_ESTIMABLE if base_of(name) in present else "not among the runs"
