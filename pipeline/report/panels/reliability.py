"""How far the evidence carries: the seeds that were pooled, and a study where there is one."""

from collections.abc import Mapping
from typing import Any

from pipeline.report.sources import Sources
from pipeline.tables.cells import chapter_of
from pipeline.training.fixed import fixed_of, told_fixed


def values(sources: Sources) -> Mapping[str, Any]:
    """Seeds of every method at every threshold, and the tables of the study."""
    return {
        "remarks": list(dict.fromkeys(each for board in sources.boards.values() for each in board.remarks)),
        "dots": sources.dots(sources.study, "study-dots") if sources.study else None,
        "fixed": list(told_fixed(fixed_of(sources.evidence.slides))),
        "chapters": [chapter_of(board, sources.terms) for board in sources.study],
        "repeats": max(
            (len(method.pool.runs) for board in sources.study for method in board.methods), default=0
        ),
    }
