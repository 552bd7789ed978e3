"""Scoreboards from predictions: seeds pooled, figures with intervals over patients, paired differences."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from models.metrics.accuracy import patients_per_group
from models.metrics.intervals import Interval, PatientSums, bootstrap, paired_difference
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.figures import ALWAYS, METRICS, Contrast, GroupSize, Method, Metric, Scoreboard
from pipeline.results.seeds import Pool, bins_of, different, is_ranked, layout_of, pools_of, statistics_of
from pipeline.results.terms import Terms
from pipeline.results.tested import Tested
from pipeline.results.verdict import estimable, reading_of
from pipeline.training.layout import NamedLayout


def scoreboards_of(tested: Sequence[Tested], terms: Terms) -> tuple[Scoreboard, ...]:
    """One for every threshold and source: WGA at two thresholds is about different groups.

    Raises:
        ArtifactError, ConfigError: runs at one threshold do not go together (`pools_of`).
    """
    order = list(terms.thresholds)
    rank = {name: place for place, name in enumerate(order)}
    keys = sorted(
        {(run.source, run.threshold) for run in tested},
        key=lambda key: (key[0], rank.get(key[1], len(rank)), key[1]),
    )
    return tuple(
        _scoreboard([run for run in tested if (run.source, run.threshold) == key], terms) for key in keys
    )


def _scoreboard(tested: Sequence[Tested], terms: Terms) -> Scoreboard:
    first = tested[0]
    pools = pools_of(tested, list(terms.judging.names))
    named = terms.layouts.get(first.threshold) or layout_of(tested)
    layout = named.groups
    bins, ranked = bins_of(tested, layout), is_ranked(tested, layout)
    settings = terms.bootstrap[first.source]
    kept = {"auroc": ranked, "worst_bin": bins is not None}
    metrics = tuple(metric for metric in METRICS if kept.get(metric.key, True))
    methods = tuple(
        _method(pool, terms.named(pool.algorithm), statistics, metrics, settings)
        for pool in pools
        for statistics in [statistics_of(pool, layout, bins, settings, ranked=ranked)]
    )
    patients = first.patches.groupby("label")["patient_id"].nunique()
    patients_K = tuple(int(patients.get(label, 0)) for label in range(layout.n_classes))
    judged = min(patients_K) >= terms.judging.minimum_test_patients
    return Scoreboard(
        source=first.source,
        threshold=first.threshold,
        # A study has its thresholds from every fold's own training patients.
        value=terms.thresholds.get(first.threshold) if first.source == "split" else None,
        settings=settings,
        layout=named,
        metrics=metrics,
        patches=len(first.patches),
        patients=first.patches["patient_id"].nunique(),
        patients_K=patients_K,
        judged=judged,
        sizes=_sizes(methods[0], named),
        bins=bins,
        methods=methods,
        contrasts=tuple(
            _contrast(one, other, metrics, settings, judged=judged) for one, other in _pairs(methods, terms)
        ),
        absent=_absent(methods, terms),
        remarks=tuple(_remarks(methods)),
    )


def _sizes(method: Method, layout: NamedLayout) -> tuple[GroupSize, ...]:
    """Of the groups, which are the same for every method."""
    rows, n_groups = method.pool.rows, layout.groups.n_groups
    counts = rows["group"].value_counts().reindex(range(n_groups), fill_value=0) / len(method.pool.runs)
    patients = patients_per_group(rows["group"].to_numpy(), n_groups, rows["patient_id"])
    return tuple(
        GroupSize(name, float(count), int(n_patients), estimable(interval))
        for name, count, n_patients, interval in zip(
            layout.names, counts, patients, method.groups, strict=True
        )
    )


def _method(
    pool: Pool,
    name: str,
    statistics: Mapping[str, PatientSums],
    metrics: Sequence[Metric],
    settings: BootstrapSettings,
) -> Method:
    found = {table: bootstrap(sums, **settings.drawn) for table, sums in statistics.items()}
    parts = {table: _numbered(figures) for table, figures in found.items()}
    return Method(
        pool=pool,
        name=name,
        statistics=statistics,
        figures={metric.key: found[metric.table][metric.figure] for metric in metrics},
        groups=parts["groups"],
        bins=parts.get("bins", ()),
        slopes=parts.get("slopes", ()),
    )


def _numbered(figures: Mapping[str, Interval]) -> tuple[Interval, ...]:
    """The figures of every group, bin or label."""
    return tuple(interval for name, interval in figures.items() if name.startswith(("group_", "slope_")))


def _pairs(methods: Sequence[Method], terms: Terms) -> Iterator[tuple[Method, Method]]:
    """Every candidate with its references; where none are named, with every other method, ALWAYS first."""
    rank = {name: place for place, name in enumerate(terms.references or ALWAYS)}
    candidates = [each for each in methods if terms.is_candidate(each.algorithm)]
    others = [each for each in methods if each not in candidates]
    if terms.references is not None:
        others = [each for each in others if each.algorithm in rank]
    others.sort(key=lambda each: rank.get(each.algorithm, len(rank)))
    return ((one, other) for one in candidates for other in others)


def _contrast(
    one: Method, other: Method, metrics: Sequence[Metric], settings: BootstrapSettings, *, judged: bool
) -> Contrast:
    found = {
        table: _differences(one, other, table, settings) for table in {metric.table for metric in metrics}
    }
    figures = {metric.key: found[metric.table][metric.figure] for metric in metrics}
    readings = {key: reading_of(interval, judged=judged) for key, interval in figures.items()}
    return Contrast(one, other, figures, _numbered(found["groups"]), readings)


def _differences(
    one: Method, other: Method, table: str, settings: BootstrapSettings
) -> Mapping[str, Interval]:
    found = paired_difference(one.statistics[table], other.statistics[table], **settings.drawn)
    if one.pool.seeds == other.pool.seeds:
        return found
    # Seeds that do not correspond have no differences of their own, whose spread one could give.
    return {name: replace(interval, spread=math.nan) for name, interval in found.items()}


def _absent(methods: Sequence[Method], terms: Terms) -> tuple[str, ...]:
    present = {each.algorithm for each in methods}
    candidates = [each.name for each in methods if terms.is_candidate(each.algorithm)]
    named = candidates or [terms.named(terms.judging.candidate)]
    missing = [name for name in ALWAYS if name not in present]
    if not candidates:
        return tuple(
            f"{named[0]} − {terms.named(name)}: {named[0]} is not among the runs." for name in ALWAYS
        )
    return tuple(
        f"{candidate} − {terms.named(name)}: {terms.named(name)} is not among the runs."
        for candidate in named
        for name in missing
    )


def _remarks(methods: Sequence[Method]) -> Iterator[str]:
    single = [each.name for each in methods if len(each.pool.runs) == 1]
    if single:
        yield f"One seed of {', '.join(single)}: no spread over seeds."
    for each in methods:
        if each.pool.repeated:
            names = ", ".join(run.name for run in each.pool.repeated)
            yield f"Left out, as another run has the seed already: {names}."
    shared = [each.pool.runs[0].shared for each in methods]
    changed = sorted({key for one in shared for key in different(shared[0], one)} & _common(shared))
    if changed:
        yield f"The methods were trained with different {', '.join(changed)}."
    undefined = max(each.figures["wga"].undefined_share for each in methods)
    if 0 < undefined < 1:
        yield f"Up to {100 * undefined:.1f} % of the draws lack a group, and do not count for WGA and GBA."


def _common(shared: Sequence[Mapping[str, object]]) -> set[str]:
    """Settings that every method has: others belong to the algorithms."""
    return set.intersection(*(set(one) for one in shared))
