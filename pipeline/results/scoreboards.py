"""The sections of the results table: pooled figures with intervals over patients, and paired differences."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from models.metrics.intervals import PatientSums, bootstrap, paired_difference
from pipeline.results.figures import ALWAYS, METRICS, Contrast, Method, Metric, Section, TableSettings
from pipeline.results.predictions import Tested
from pipeline.results.seeds import Pool, bins_of, different, is_ranked, layout_of, pools_of, statistics_of
from pipeline.results.verdict import BootstrapSettings, reading_of


def sections_of(tested: Sequence[Tested], settings: TableSettings) -> tuple[Section, ...]:
    """A section for every threshold and source: WGA at two thresholds is about different groups.

    Raises:
        ArtifactError, ConfigError: runs of a section do not go together (`pools_of`).
    """
    order = list(settings.thresholds)
    rank = {name: place for place, name in enumerate(order)}
    keys = sorted(
        {(run.source, run.threshold) for run in tested},
        key=lambda key: (key[0], rank.get(key[1], len(rank)), key[1]),
    )
    return tuple(
        _section([run for run in tested if (run.source, run.threshold) == key], settings) for key in keys
    )


def _section(tested: Sequence[Tested], settings: TableSettings) -> Section:
    first = tested[0]
    pools = pools_of(tested, list(settings.names))
    named = settings.layouts.get(first.threshold) or layout_of(tested)
    layout = named.groups
    bins, ranked = bins_of(tested, layout), is_ranked(tested, layout)
    drawing = settings.bootstrap[first.source]
    kept = {"auroc": ranked, "worst_bin": bins is not None}
    metrics = tuple(metric for metric in METRICS if kept.get(metric.key, True))
    methods = tuple(
        _method(pool, settings.named(pool.algorithm), statistics, metrics, drawing)
        for pool in pools
        for statistics in [statistics_of(pool, layout, bins, drawing, ranked=ranked)]
    )
    patients = first.patches.groupby("label")["patient_id"].nunique()
    patients_K = tuple(int(patients.get(label, 0)) for label in range(layout.n_classes))
    judged = min(patients_K) >= settings.minimum_test_patients
    groups = pools[0].rows["group"]
    return Section(
        source=first.source,
        threshold=first.threshold,
        # A study has its thresholds from every fold's own training patients.
        value=settings.thresholds.get(first.threshold) if first.source == "split" else None,
        settings=drawing,
        layout=named,
        metrics=metrics,
        patches=len(first.patches),
        patients=first.patches["patient_id"].nunique(),
        patients_K=patients_K,
        counts_G=np.bincount(groups, minlength=layout.n_groups) / len(pools[0].runs),
        bins=bins,
        methods=methods,
        contrasts=tuple(
            _contrast(one, other, metrics, drawing, judged=judged) for one, other in _pairs(methods, settings)
        ),
        absent=_absent(methods, settings),
        remarks=tuple(_remarks(methods)),
    )


def _drawn(settings: BootstrapSettings) -> dict[str, Any]:
    return {"n_draws": settings.draws, "level": settings.level, "seed": settings.seed}


def _method(
    pool: Pool,
    name: str,
    statistics: Mapping[str, PatientSums],
    metrics: Sequence[Metric],
    settings: BootstrapSettings,
) -> Method:
    found = {table: bootstrap(sums, **_drawn(settings)) for table, sums in statistics.items()}
    parts = {
        table: tuple(interval for name, interval in figures.items() if name.startswith(("group_", "slope_")))
        for table, figures in found.items()
    }
    return Method(
        pool=pool,
        name=name,
        statistics=statistics,
        figures={metric.key: found[metric.table][metric.figure] for metric in metrics},
        groups=parts["groups"],
        bins=parts.get("bins", ()),
        slopes=parts.get("slopes", ()),
    )


def _pairs(methods: Sequence[Method], settings: TableSettings) -> Iterator[tuple[Method, Method]]:
    """Every candidate with every other method, those of ALWAYS first."""
    rank = {name: place for place, name in enumerate(ALWAYS)}
    candidates = [each for each in methods if settings.is_candidate(each.pool.algorithm)]
    others = [each for each in methods if each not in candidates]
    others.sort(key=lambda each: rank.get(each.pool.algorithm, len(rank)))
    return ((one, other) for one in candidates for other in others)


def _contrast(
    one: Method, other: Method, metrics: Sequence[Metric], settings: BootstrapSettings, *, judged: bool
) -> Contrast:
    tables = {metric.table for metric in metrics}
    found = {
        table: paired_difference(one.statistics[table], other.statistics[table], **_drawn(settings))
        for table in tables
    }
    figures = {metric.key: found[metric.table][metric.figure] for metric in metrics}
    if one.pool.seeds != other.pool.seeds:
        # Seeds that do not correspond have no differences of their own, whose spread one could give.
        figures = {key: replace(interval, spread=math.nan) for key, interval in figures.items()}
    readings = {key: reading_of(interval, judged=judged) for key, interval in figures.items()}
    return Contrast(one, other, figures, readings)


def _absent(methods: Sequence[Method], settings: TableSettings) -> tuple[str, ...]:
    present = {each.pool.algorithm for each in methods}
    candidates = [each.name for each in methods if settings.is_candidate(each.pool.algorithm)]
    named = candidates or [settings.named(settings.candidate)]
    missing = [name for name in ALWAYS if name not in present]
    if not candidates:
        return tuple(
            f"{named[0]} − {settings.named(name)}: {named[0]} is not among the runs." for name in ALWAYS
        )
    return tuple(
        f"{candidate} − {settings.named(name)}: {settings.named(name)} is not among the runs."
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
