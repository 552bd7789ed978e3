"""Scoreboards from predictions: seeds pooled, figures with intervals over patients, paired differences."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from rich.console import Console
from rich.progress import track

from models.metrics.accuracy import patients_per_group
from models.metrics.intervals import FEW_PATIENTS, Interval, PatientSums, bootstrap
from pipeline.files import NOT_ESTIMABLE
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.contrasts import absent, beside_of, contrasts_of, corrected, numbered
from pipeline.results.decided import with_decided
from pipeline.results.figures import METRICS, GroupSize, Method, Scoreboard
from pipeline.results.profiles.operating import Operating, operating_of
from pipeline.results.seeds import Pool, bins_of, different, is_ranked, layout_of, pools_of, statistics_of
from pipeline.results.terms import Terms
from pipeline.results.tested import Tested, rule_of
from pipeline.results.verdict import estimable


def scoreboards_of(
    tested: Sequence[Tested], terms: Terms, *, console: Console | None = None
) -> tuple[Scoreboard, ...]:
    """One for every threshold and source: WGA at two thresholds is about different groups.

    Every method stands there as it is decided plainly, and as the rules of the terms decide it.

    Args:
        tested: of any thresholds and sources.
        terms: what decides the figures.
        console: for a progress bar; without one there is none.

    Raises:
        ArtifactError, ConfigError: runs at one threshold do not go together (`pools_of`).
    """
    order = dict.fromkeys((*terms.thresholds, *(run.threshold for run in tested)))
    rank = {name: place for place, name in enumerate(order)}
    keys = sorted({(run.source, run.threshold) for run in tested}, key=lambda key: (key[0], rank[key[1]]))
    boards = (
        _scoreboard([run for run in tested if (run.source, run.threshold) == key], terms, console)
        for key in keys
    )
    return tuple(
        board
        for _, of_source in groupby(boards, key=lambda board: board.source)
        for board in corrected(list(of_source))
    )


def _scoreboard(plain: Sequence[Tested], terms: Terms, console: Console | None) -> Scoreboard:
    first = plain[0]
    tested, told = with_decided(plain, terms, console=console)
    pools = pools_of(tested, list(terms.judging.names))
    named = terms.layouts.get(first.threshold) or layout_of(tested)
    layout = named.groups
    bins, ranked = bins_of(tested, layout), is_ranked(tested, layout)
    settings = terms.bootstrap[first.source]

    def sums_of(pool: Pool) -> Mapping[str, PatientSums]:
        return statistics_of(pool, layout, bins, settings, ranked=ranked)

    told_of = f"figures at {first.threshold}"
    methods = tuple(
        _method(pool, terms.named(pool.algorithm), sums_of(pool), settings)
        for pool in track(pools, told_of, console=console, transient=True, disable=console is None)
    )
    metrics = tuple(metric for metric in METRICS if metric.key in methods[0].figures)
    patients = first.patches.groupby("label")["patient_id"].nunique()
    patients_K = tuple(int(patients.get(label, 0)) for label in range(layout.n_classes))
    judged = min(patients_K) >= terms.judging.minimum_test_patients
    board = Scoreboard(
        source=first.source,
        threshold=first.threshold,
        above=_above(plain, terms),
        settings=settings,
        layout=named,
        metrics=metrics,
        patches=len(first.patches),
        patients=first.patches["patient_id"].nunique(),
        patients_K=patients_K,
        judged=judged,
        sizes=(),
        bins=bins,
        methods=methods,
        contrasts=contrasts_of(methods, terms, first.threshold, metrics, settings, sums_of, judged=judged),
        beside=beside_of(methods, terms, metrics, settings, sums_of, judged=judged),
        family=0,
        absent=absent(methods, terms, first.threshold),
        remarks=(*told, *_remarks(methods)),
    )
    board = replace(board, sizes=_sizes(board))
    return replace(board, remarks=(*board.remarks, *_few(board)))


def _above(tested: Sequence[Tested], terms: Terms) -> tuple[float, float] | None:
    """Lowest and highest value of the threshold: a study has it from every fold's own training patients."""
    first = tested[0]
    if first.source == "split":
        value = terms.thresholds.get(first.threshold)
        return None if value is None else (value, value)
    values = [value for run in tested for value in run.above.values()]
    return (min(values), max(values)) if values else None


def _sizes(board: Scoreboard) -> tuple[GroupSize, ...]:
    """Of the groups, which are the same for every method."""
    method, layout = board.methods[0], board.layout
    rows, n_groups = method.pool.rows, layout.groups.n_groups
    counts = rows["group"].value_counts().reindex(range(n_groups), fill_value=0) / len(method.pool.runs)
    patients = patients_per_group(rows["group"].to_numpy(), n_groups, rows["patient_id"])
    return tuple(
        GroupSize(name, title, float(count), int(n_patients), estimable(interval))
        for name, title, count, n_patients, interval in zip(
            layout.names, board.told.names, counts, patients, method.groups, strict=True
        )
    )


def _method(
    pool: Pool, name: str, statistics: Mapping[str, PatientSums], settings: BootstrapSettings
) -> Method:
    found = {table: bootstrap(sums, **settings.drawn) for table, sums in statistics.items()}
    return Method(
        pool=pool,
        name=name,
        statistics=statistics,
        figures={
            metric.key: found[metric.table][metric.figure]
            for metric in METRICS
            if metric.figure in found.get(metric.table, ())
        },
        groups=numbered(found["groups"], "group"),
        bins=numbered(found.get("bins", {}), "group"),
        slopes=numbered(found.get("slopes", {}), "slope"),
        strata=numbered(found["groups"], "auroc"),
        operating=_operating(pool, found, settings),
    )


def _operating(
    pool: Pool, found: Mapping[str, Mapping[str, Interval]], settings: BootstrapSettings
) -> tuple[Operating, ...]:
    if "probability" not in pool.rows:
        return ()
    probability_RN = pool.by_run("probability", math.nan)
    return operating_of(pool.rows, probability_RN, found["groups"], found["classes"], settings)


def _remarks(methods: Sequence[Method]) -> Iterator[str]:
    plain = [each for each in methods if rule_of(each.algorithm) is None]
    single = [each.name for each in plain if len(each.pool.runs) == 1]
    if single:
        yield f"One seed of {', '.join(single)}: no spread over seeds."
    if methods[0].pool.runs[0].source == "study" and len({each.pool.seeds for each in methods}) > 1:
        yield "The methods have other repeats: a difference is over the repeats that both methods have."
    for each in plain:
        if each.pool.repeated:
            names = ", ".join(run.name for run in each.pool.repeated)
            yield f"Left out, as another run has the seed already: {names}."
    if len({tuple(map(estimable, each.groups)) for each in methods}) > 1:
        yield f"Not every method’s WGA is over the same groups: of other repeats, others are {NOT_ESTIMABLE}."
    shared = [each.pool.runs[0].shared for each in plain]
    changed = sorted({key for one in shared for key in different(shared[0], one)} & _common(shared))
    if changed:
        yield f"The methods were trained with different {', '.join(changed)}."
    undefined = max(each.figures["wga"].undefined_share for each in methods)
    if 0 < undefined < 1:
        share = f"Up to {100 * undefined:.1f} % of the draws"
        yield f"{share} lack a group, and do not count for the interval of GBA."


def _few(board: Scoreboard) -> Iterator[str]:
    """A warning of groups whose interval says little; see docs/intervals.md."""
    found = [f"{size.title} ({size.patients})" for size in board.few]
    if found:
        yield (
            f"Under {FEW_PATIENTS} test patients: {'; '.join(found)}. Intervals of so few say little, and a "
            "difference has to be large to be told."
        )


def _common(shared: Sequence[Mapping[str, object]]) -> set[str]:
    """Settings that every method has: others belong to the algorithms."""
    return set.intersection(*(set(one) for one in shared))
