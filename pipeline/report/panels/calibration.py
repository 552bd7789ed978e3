"""The stored decision in words, reliability diagrams, a decision threshold to move, and decision curves."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from models.metrics.clinical.thresholds import N_STEPS
from models.networks.card import ModelCard
from models.networks.decision_words import decision_facts
from pipeline.files import NOT_ESTIMABLE
from pipeline.look import plots as drawing
from pipeline.report.probabilities import judged_of, own_benefits, pairs_of, promises
from pipeline.report.sources import Sources
from pipeline.report.subject import Subject
from pipeline.results.clinical.operating_point import (
    ACTED_AT,
    ReliabilityBin,
    ThresholdCounts,
    tenths,
)
from pipeline.results.verdict import estimable

_TOLD_AT = (10, 20, 30, 50, 70)
"""Thresholds in percent whose net benefit is told in figures."""


def values(sources: Sources) -> Mapping[str, Any]:
    """All of the one training whose card decides; nothing without probabilities of two classes."""
    subject = sources.subject
    if subject is None or not subject.method.operating:
        return {"subject": None}
    card, parts, bins = sources.card, subject.by_value, subject.reliability
    counts = ThresholdCounts.of(subject.run.patches, subject.board.layout.groups.n_groups)
    judged = [all(kinds.values()) for kinds in judged_of(subject)]
    threshold = sources.decision.threshold
    return {
        "subject": subject,
        "facts": decision_facts(card) if isinstance(card, ModelCard) else {},
        "unread": "" if isinstance(card, ModelCard) else card,
        "own": f"{threshold:.4g}",
        "step": round(N_STEPS * threshold),
        "n_steps": N_STEPS,
        "bins": bins,
        "reliability": drawing.svg_uri(_reliability(bins, parts, threshold)),
        "told": _told(bins),
        "promised": promises(subject),
        "harmful": [
            (name, benefit)
            for name, benefit in zip(parts, own_benefits(subject, threshold), strict=True)
            if benefit < 0
        ],
        "rows": list(_rows(subject, counts)),
        "benefit": drawing.svg_uri(_benefit(counts, list(parts), judged, threshold)),
        "benefits": _benefits(counts, list(parts), judged),
    }


def _rows(subject: Subject, counts: ThresholdCounts) -> Iterator[dict[str, Any]]:
    """Of the table: all patches, then the attribute values; each has two groups, of tumor and of the rest."""
    whole, *judged = judged_of(subject)
    names = {"tumor": "tumor", "rest": "non-tumor"}
    yield _row("all patches", counts.of_all(), {"rest": 0, "tumor": 1}, whole, names, cells=False)
    n_attributes = len(subject.board.told.attributes)
    for a, name in enumerate(subject.board.told.attributes):
        places = {"rest": a, "tumor": n_attributes + a}
        names = {kind: subject.board.told.names[g] for kind, g in places.items()}
        yield _row(name, counts, places, judged[a], names, cells=True)


def _row(
    name: str,
    counts: ThresholdCounts,
    places: Mapping[str, int],
    judged: Mapping[str, bool],
    names: Mapping[str, str],
    *,
    cells: bool,
) -> dict[str, Any]:
    size, own = ({kind: int(each[g]) for kind, g in places.items()} for each in (counts.size_G, counts.own_G))
    kinds = {
        kind: {
            "name": names[kind],
            "size": size[kind],
            "own": own[kind],
            "judged": judged[kind],
            "cells": _packed(counts.exceeded_GX[g]) if cells else None,
        }
        for kind, g in places.items()
    }
    left = size["rest"] - own["rest"]
    shares = [
        f"{tenths(right, size[kind])} %" if judged[kind] else NOT_ESTIMABLE
        for kind, right in (("tumor", own["tumor"]), ("rest", left))
    ]
    numbers = [f"{n:,}" for n in (own["tumor"], size["tumor"] - own["tumor"], own["rest"], left)]
    return {"name": name, "kinds": kinds, "cells": numbers + shares}


def _packed(exceeded_X: NDArray[np.int64]) -> str:
    """`k:n` for every number k of exceeded thresholds that n patches have."""
    return " ".join(f"{k}:{exceeded_X[k]}" for k in np.flatnonzero(exceeded_X))


def _told(bins: Mapping[str, Sequence[ReliabilityBin]]) -> str:
    """The picture in words: what every estimable bin of all patches says."""
    first = next(iter(bins.values()))
    found = [
        f"predicted {100 * each.mean:.0f} %, tumor {100 * each.share.estimate:.0f} %"
        for each in first
        if estimable(each.share)
    ]
    return f"Reliability of all patches: {'; '.join(found) or NOT_ESTIMABLE}. The table below has all bins."


def _reliability(
    bins: Mapping[str, Sequence[ReliabilityBin]], parts: Mapping[str, pd.DataFrame], threshold: float
) -> bytes:
    """Above, the share of tumor by the predicted probability; below, how many patches have it, by label."""
    ratios = {"height_ratios": [3, 1.3]}
    with drawing.canvas(7.4, 4.3, 2, len(bins), sharex=True, gridspec_kw=ratios) as (figure, grid):
        for column, (name, found) in enumerate(bins.items()):
            _draw_bins(grid[0, column], found)
            grid[0, column].set_title(name, fontsize=8.5)
            _draw_histogram(grid[1, column], parts[name], threshold)
        grid[0, 0].set_ylabel("tumor among them, %")
        grid[1, 0].set_ylabel("patches")
        drawing.legend_below(figure, grid[1, 0], ["tumor", "non-tumor", "the model’s decision threshold"])
        return drawing.svg(figure, "reliability-diagram")


def _draw_bins(axes: Axes, bins: Sequence[ReliabilityBin]) -> None:
    axes.plot([0, 1], [0, 1], color=drawing.MUTED, linewidth=1, linestyle=(0, (4, 2)))
    shown = [each for each in bins if estimable(each.share)]
    for each in shown:
        axes.plot([each.mean] * 2, [each.share.low, each.share.high], color=drawing.ACCENT, linewidth=1.4)
    means, shares = [each.mean for each in shown], [each.share.estimate for each in shown]
    axes.plot(means, shares, "o-", color=drawing.ACCENT, markersize=4, linewidth=0.8)
    drawing.percent_axis(axes, "y")


def _draw_histogram(axes: Axes, rows: pd.DataFrame, threshold: float) -> None:
    """Both labels one above the other, so that neither hides the other."""
    edges = np.linspace(0, 1, 21)
    tumor, rest = (np.histogram(rows.loc[rows["label"] == y, "probability"], edges)[0] for y in (1, 0))
    axes.stairs(tumor, edges, color=drawing.TUMOR, fill=True, label="tumor")
    axes.stairs(
        tumor + rest, edges, baseline=tumor, color=drawing.NORMAL, fill=True, alpha=0.55, label="non-tumor"
    )
    dashed = (0, (4, 2))
    axes.axvline(
        threshold, label="the model’s decision threshold", color=drawing.INK, linewidth=1, linestyle=dashed
    )
    axes.set_xlabel("predicted probability, %", fontsize=8)
    drawing.percent_axis(axes, "x")


def _benefit(
    counts: ThresholdCounts, names: Sequence[str], judged: Sequence[bool], threshold: float
) -> bytes:
    """Curves of the parts that are judged; in place of others it is said that they are not."""
    at_T = ACTED_AT / N_STEPS
    with drawing.canvas(7.4, 2.7, 1, len(names)) as (figure, grid):
        for axes, enough, (name, own, groups) in zip(grid[0], judged, pairs_of(counts, names), strict=True):
            model_T, all_T = (each_T if enough else each_T * np.nan for each_T in own.net_benefits(groups))
            axes.plot(at_T, model_T, color=drawing.ACCENT, label="the model")
            axes.plot(at_T, all_T, color=drawing.MUTED, linestyle=(0, (1, 1)), label="act on every patch")
            axes.axhline(0, color=drawing.INK, linewidth=1, linestyle=(0, (5, 2)), label="act on none")
            axes.axvline(threshold, color=drawing.RULE, linewidth=1)
            top = max(float(np.nanmax(model_T, initial=0.0)), float(np.nanmax(all_T, initial=0.0)), 0.05)
            axes.set_ylim(-0.3 * top, 1.08 * top)
            axes.set_title(name if enough else f"{name}: {NOT_ESTIMABLE}", fontsize=8.5)
            axes.set_xlabel("decision threshold, %", fontsize=8)
            drawing.percent_axis(axes, "x")
        grid[0, 0].set_ylabel("net benefit")
        drawing.legend_below(figure, grid[0, 0], ["the model", "act on every patch", "act on none"])
        return drawing.svg(figure, "decision-curves")


def _benefits(
    counts: ThresholdCounts, names: Sequence[str], judged: Sequence[bool]
) -> list[tuple[str, list[tuple[float, float, float]]]]:
    """By part: threshold, net benefit of the model, and of acting on everything; NaN where not judged."""
    places = [int(np.flatnonzero(percent * N_STEPS // 100 == ACTED_AT)[0]) for percent in _TOLD_AT]
    found = []
    for enough, (name, own, groups) in zip(judged, pairs_of(counts, names), strict=True):
        model_T, all_T = (each_T if enough else each_T * np.nan for each_T in own.net_benefits(groups))
        cells = [(ACTED_AT[t] / N_STEPS, float(model_T[t]), float(all_T[t])) for t in places]
        found.append((name, cells))
    return found
