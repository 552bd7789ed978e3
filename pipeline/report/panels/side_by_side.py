"""The algorithms side by side: accuracies in one table, and how well they rank in one for every threshold."""

from collections.abc import Mapping
from typing import Any

from pipeline.report.sources import Sources
from pipeline.results.figures import METRICS
from pipeline.tables.cells import ranking_block

_SHOWN = ("wga", "wga_cross_fitted", "gba", "average")


def values(sources: Sources) -> Mapping[str, Any]:
    """Columns of the table, and a block of the AUROC for every threshold."""
    return {
        "metrics": [
            metric
            for metric in METRICS
            if metric.key in _SHOWN and all(metric in board.metrics for board in sources.boards.values())
        ],
        "rankings": [
            (board.told_threshold, ranking_block(board, sources.terms))
            for board in sources.boards.values()
            if board.methods[0].strata
        ],
    }
