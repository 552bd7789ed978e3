"""Worst-group accuracy against the tissue threshold: the same predictions, other groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.metrics.intervals import (
    Interval,
    PatientStatistics,
    bootstrap,
    paired_difference,
    patient_statistics,
)
from pipeline.look import plots as drawing
from pipeline.look.styles import styles_of
from pipeline.report.panels.structure import few_methods
from pipeline.report.sources import Sources
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.figures import Method
from pipeline.results.verdict import READINGS, estimable
from pipeline.training.layout import GIVEN

CUTS = tuple(round(0.05 * step, 2) for step in range(2, 20))
"""Tissue fractions above which a patch has much tissue, 0.1 to 0.95."""


@dataclass(frozen=True)
class Swept:
    """One method at every cut.

    Attributes:
        wga: of the four groups; not estimable where one of them has too few patches or patients.
        against: of the first method minus this one, on the same patients; none for the first itself.
    """

    algorithm: str
    name: str
    wga: tuple[Interval, ...]
    against: tuple[Interval, ...]


def values(sources: Sources) -> Mapping[str, Any]:
    """The picture, the numbers, and one sentence for each method; nothing where tissue makes no groups."""
    subject = sources.subject
    if subject is None or subject.board.threshold == GIVEN or subject.board.bins is None:
        return {"swept": ()}
    methods = few_methods(sources, subject.board)
    marked = {
        name: sources.evidence.threshold_value(name)
        for name in sources.evidence.thresholds
        if name in sources.boards
    }
    # A model is told at the threshold it was trained at, too, wherever that lies.
    cuts = tuple(sorted({*CUTS, *marked.values()}))
    found = swept(methods, cuts, subject.board.settings)
    return {
        "swept": found,
        "cuts": cuts,
        "minimum": subject.board.settings,
        "sentence": sentence(found, cuts, judged=subject.board.judged),
        "text": _text(found, cuts),
        "picture": drawing.svg_uri(_picture(found, cuts, marked)) if _judged(found) else None,
        "trained": subject.board.threshold,
    }


def swept(methods: Sequence[Method], cuts: Sequence[float], settings: BootstrapSettings) -> tuple[Swept, ...]:
    """WGA of every method at every cut, and the differences of the first to the others."""
    sums = [[_grouped(method, cut, settings) for cut in cuts] for method in methods]
    return tuple(
        Swept(
            method.algorithm,
            method.name,
            tuple(_told(bootstrap(each, **settings.drawn), each) for each in own),
            tuple(
                _told(paired_difference(first, each, **settings.drawn), each)
                for first, each in zip(sums[0], own, strict=True)
            )
            if number
            else (),
        )
        for number, (method, own) in enumerate(zip(methods, sums, strict=True))
    )


def _grouped(method: Method, cut: float, settings: BootstrapSettings) -> PatientStatistics:
    rows = method.pool.rows
    much_N = (rows["tissue_fraction"] > cut).to_numpy(np.int64)
    return patient_statistics(
        rows["label"],
        method.pool.by_run("prediction", -1),
        2 * rows["label"].to_numpy(np.int64) + much_N,
        rows["patient_id"],
        4,
        **settings.minimums(len(method.pool.runs)),
    )


def _told(found: Mapping[str, Interval], sums: PatientStatistics) -> Interval:
    """The worst of all four groups: of fewer it would be another figure from cut to cut."""
    wga = found["wga"]
    if sums.estimable_G.all():
        return wga
    return replace(wga, estimate=np.nan, low=np.nan, high=np.nan)


def sentence(found: Sequence[Swept], cuts: Sequence[float], *, judged: bool) -> str:
    """What the sweep says of the first method; `judged`: whether there are patients enough to compare it."""
    places = _judged(found)
    if not places:
        return "At no tissue threshold do all four groups hold patches and patients enough."
    low, high = f"{cuts[places[0]]:.3g}", f"{cuts[places[-1]]:.3g}"
    # How many, for there may be gaps between the first and the last.
    where = (
        f"At the {len(places)} of {len(cuts)} tissue thresholds that can be judged ({low} to {high})"
        if len(places) > 1
        else f"At {low}, the only one of {len(cuts)} tissue thresholds that can be judged"
    )
    told = "; ".join(_range(each, places, judged=judged) for each in found)
    few = "" if judged or len(found) == 1 else f" Which is better: {READINGS['few']}."
    return f"{where}, {told}.{few}"


def _judged(found: Sequence[Swept]) -> list[int]:
    """Places of the cuts at which all four groups can be judged."""
    return [place for place, each in enumerate(found[0].wga) if estimable(each)]


def _range(each: Swept, places: Sequence[int], *, judged: bool) -> str:
    figures = [each.wga[place].estimate for place in places]
    ends = dict.fromkeys(f"{100 * figure:.0f}" for figure in (min(figures), max(figures)))
    told = f"{each.name} has {' to '.join(ends)} % in its worst group"
    if not each.against or not judged:
        return told
    above = sum(each.against[place].low > 0 for place in places)
    below = sum(each.against[place].high < 0 for place in places)
    first = f"the model is better at {above}" + (f" and worse at {below}" if below else "")
    return f"{told} ({first} of them, each interval read by itself)"


def _text(found: Sequence[Swept], cuts: Sequence[float]) -> str:
    parts = []
    for each in found:
        known = [
            f"{cut:.3g}: {100 * wga.estimate:.0f} %"
            for cut, wga in zip(cuts, each.wga, strict=True)
            if estimable(wga)
        ]
        parts.append(f"{each.name}: {', '.join(known) or 'nowhere'}")
    return f"Worst-group accuracy by tissue threshold. {'; '.join(parts)}."


def _picture(found: Sequence[Swept], cuts: Sequence[float], marked: Mapping[str, float]) -> bytes:
    styles = styles_of([each.algorithm for each in found])
    with drawing.canvas(7.4, 3.1) as (figure, grid):
        axes = grid[0, 0]
        for place, each in enumerate(found):
            style = styles[each.algorithm]
            at = np.array(cuts) + 0.004 * (place - (len(found) - 1) / 2)
            for x, wga in zip(at, each.wga, strict=True):
                axes.plot([x, x], [wga.low, wga.high], color=style.color, linewidth=1.2, zorder=2)
            figures = [wga.estimate for wga in each.wga]
            axes.plot(at, figures, label=each.name, linewidth=0.9, zorder=3, **style.marked(4.5))
        for row, (name, value) in enumerate(sorted(marked.items(), key=lambda each: each[1])):
            axes.axvline(value, color=drawing.MUTED, linestyle=(0, (4, 2)), linewidth=1)
            axes.annotate(
                f"“{name}”",
                (value, 1.0),
                (3, -2 - 10 * row),
                textcoords="offset points",
                va="top",
                fontsize=8,
            )
        axes.set_xlim(0, 1)
        axes.set_xlabel("tissue fraction above which a patch has much tissue")
        axes.set_ylabel("worst-group accuracy, %")
        drawing.percent_axis(axes, "y")
        drawing.legend_below(figure, axes, [each.name for each in found])
        return drawing.svg(figure, "sensitivity")
