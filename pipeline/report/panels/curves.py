"""Training curves, and the epoch that validation chose."""

from collections.abc import Mapping
from typing import Any

from pipeline.look import plots as drawing
from pipeline.look.curves import curves_figure
from pipeline.report.sources import Sources


def values(sources: Sources) -> Mapping[str, Any]:
    """One row of pictures per threshold."""
    named = {run.name: sources.named(run.algorithm) for run in sources.evidence.runs}
    return {
        "pictures": [
            (
                threshold,
                drawing.svg_uri(
                    curves_figure(
                        [
                            (named[run.name], sources.position(run.algorithm), run.history, run.best_step)
                            for run in sources.evidence.runs
                            if run.threshold == threshold
                        ],
                        name=f"curves-{threshold}",
                    )
                ),
            )
            for threshold in sources.evidence.thresholds
        ]
    }
