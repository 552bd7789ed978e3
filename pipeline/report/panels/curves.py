"""Training curves, and the epoch that validation chose."""

from collections.abc import Mapping
from typing import Any

from pipeline.look import plots as drawing
from pipeline.look.curves import curves_figure
from pipeline.report.sources import Sources


def values(sources: Sources) -> Mapping[str, Any]:
    """One row of pictures per threshold."""
    return {
        "pictures": [
            (
                threshold,
                drawing.svg_uri(
                    curves_figure(
                        [
                            (
                                run.algorithm,
                                sources.named(run.algorithm),
                                sources.evidence.histories[run.name],
                                int(run.record["best_step"]),
                            )
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
