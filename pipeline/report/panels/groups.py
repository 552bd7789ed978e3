"""How strongly tissue and tumor are tied: counts, p(a|y), Cramér's V, and the tissue fraction by label."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from models.data.splitting import SPLITS
from pipeline.look import plots as drawing
from pipeline.report.sources import Sources


def values(sources: Sources) -> Mapping[str, Any]:
    """The association at every threshold, trained at or not, and the histogram of the training patches."""
    evidence = sources.evidence
    return {
        "thresholds": [
            {"name": name, **_association(evidence.groups["thresholds"][name])}
            for name in _configured(sources)
        ],
        "histogram": drawing.svg_uri(_picture(sources)),
    }


def files(sources: Sources) -> Iterator[tuple[str, bytes]]:
    """The histogram, for `dvc plots show`."""
    yield "tissue_fraction.svg", _picture(sources)


def _picture(sources: Sources) -> bytes:
    return histogram_figure(sources.evidence.histogram, _lines(sources))


def _lines(sources: Sources) -> dict[str, float]:
    return {name: sources.evidence.threshold_value(name) for name in _configured(sources)}


def _configured(sources: Sources) -> list[str]:
    """All thresholds of the attribute stage, by their value."""
    evidence = sources.evidence
    return sorted(evidence.groups["thresholds"], key=lambda name: (evidence.threshold_value(name), name))


def _association(content: Mapping[str, Any]) -> dict[str, Any]:
    rows = []
    for split in SPLITS:
        counts_KA = content["counts"][split]
        totals = [sum(row) for row in counts_KA]
        rows.append(
            {
                "split": split,
                "counts": [count for row in counts_KA for count in row],
                "shares": [
                    count / total if total else float("nan")
                    for total, row in zip(totals, counts_KA, strict=True)
                    for count in row
                ],
                "cramers_v": content["cramers_v"][split],
            }
        )
    return {"value": content["value"], "how": content.get("how", ""), "rows": rows}


def histogram_figure(histogram: pd.DataFrame, lines: Mapping[str, float]) -> bytes:
    """Tissue fraction of training patches by label, each label's shares adding up to 100 %."""
    kinds = (("tumor", 1, drawing.TUMOR), ("non-tumor", 0, drawing.NORMAL))
    with drawing.canvas(7.4, 2.7) as (figure, grid):
        axes = grid[0, 0]
        for name, label, tone in kinds:
            part = histogram[histogram["label"] == label].sort_values("low")
            share = 100 * part["count"] / max(part["count"].sum(), 1)
            edges = 100 * np.array([*part["low"], *part["high"].tail(1)])
            style = {"fill": True, "alpha": 0.45} if label else {"linewidth": 1.8}
            axes.stairs(share, edges, color=tone, label=name, **style)
        axes.set_xlim(0, 100 * histogram.loc[histogram["count"] > 0, "high"].max())
        axes.set_ylim(bottom=0)
        axes.margins(y=0.2)
        for step, (name, value) in enumerate(lines.items()):
            axes.axvline(100 * value, color=drawing.INK, linewidth=1, linestyle=(0, (4, 2)))
            place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "top"}
            # One below the other, because thresholds may lie close together.
            height = 1.0 - 0.1 * step
            axes.annotate(f"{name}: {100 * value:.1f} %", (100 * value, height), (5, 0), fontsize=8, **place)
        axes.set_xlabel("tissue fraction of a patch, %")
        axes.set_ylabel("share of the label's patches, %")
        drawing.legend_below(figure, axes, [name for name, _, _ in kinds])
        return drawing.svg(figure, "histogram")
