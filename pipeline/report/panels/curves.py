"""Training curves, and the epoch that validation chose."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.look import plots as drawing
from pipeline.look.curves import curves_figure
from pipeline.report.sources import Sources


def values(sources: Sources) -> Mapping[str, Any]:
    """One row of pictures per threshold."""
    return {
        "pictures": [
            (threshold, drawing.svg_uri(_picture(sources, threshold)))
            for threshold in sources.evidence.thresholds
        ]
    }


def files(sources: Sources) -> Iterator[tuple[str, bytes]]:
    """The same pictures, for `dvc plots show`."""
    for threshold in sources.evidence.thresholds:
        yield f"{threshold}.svg", _picture(sources, threshold)


def _picture(sources: Sources, threshold: str) -> bytes:
    series = [
        (
            run.algorithm,
            sources.named(run.algorithm),
            sources.evidence.histories[run.name],
            int(run.record["best_step"]),
        )
        for run in sources.evidence.runs
        if run.threshold == threshold
    ]
    return curves_figure(series, name=f"curves-{threshold}")
