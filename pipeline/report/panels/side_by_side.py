"""The algorithms side by side: accuracies in one table, and how well they rank in one for every threshold."""

from collections.abc import Mapping
from typing import Any

from pipeline.report.sources import Sources
from pipeline.results.figures import METRICS
from pipeline.tables.cells import ranking_block

_SHOWN = ("wga", "wga_cross_fitted", "gba", "average")


def values(sources: Sources) -> Mapping[str, Any]:
    """Columns of the table, and for every threshold the AUROC, and what is to be known of its figures."""
    return {
        "metrics": [
            metric
            for metric in METRICS
            if metric.key in _SHOWN and all(metric in board.metrics for board in sources.boards.values())
        ],
        "rankings": [
            (board, ranking_block(board, sources.terms) if board.methods[0].strata else None)
            for board in sources.boards.values()
        ],
    }
