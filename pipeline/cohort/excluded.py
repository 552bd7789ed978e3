"""Slides that a stage cannot use: their table, what the log tells, and the budget they must keep to."""

import logging
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from patching.errors import ErrorBudgetError, EvenpatchError
from patching.manifest import SlideRow
from pipeline.artifacts import EXCLUDED
from pipeline.files import replacing

logger = logging.getLogger(__name__)
_NAMED = 3
_GROUPS = 5


def write_excluded(
    table: Path,
    stage: str,
    rows: Sequence[SlideRow],
    errors: Mapping[str, EvenpatchError],
    told: Sequence[SlideRow],
) -> None:
    """Write excluded.csv (EXCLUDED), in the order of `rows`, and tell each reason once.

    Args:
        table: the file.
        stage: which stage excludes them.
        rows: the whole cohort.
        errors: what is wrong, by slide_id.
        told: the same rows with the paths that the table tells, in place of those where files were found.
    """
    cells = [
        (row.slide_id, stage, type(error).__name__, _placeless(error.in_one_line, row, by))
        for row, by in zip(rows, told, strict=True)
        if (error := errors.get(row.slide_id)) is not None
    ]
    with replacing(table) as part:
        pd.DataFrame(cells, columns=list(EXCLUDED)).to_csv(part, index=False, lineterminator="\n")
    for line in grouped(rows, errors):
        logger.warning("excluded: %s", line)


def require_budget(
    table: Path, stage: str, rows: Sequence[SlideRow], errors: Mapping[str, EvenpatchError], budget: float
) -> None:
    """Refuse more excluded slides than the budget's share of the cohort, or all of them.

    Raises:
        ErrorBudgetError: names the reasons, the most frequent first, and the table.
    """
    if len(errors) <= budget * len(rows) and len(errors) < len(rows):
        return
    told = grouped(rows, errors)
    more = f"; and {len(told) - _GROUPS} more reasons" if len(told) > _GROUPS else ""
    raise ErrorBudgetError(
        has=f"{len(errors)} of {len(rows)} slides excluded: {'; '.join(told[:_GROUPS])}{more}",
        needs=f"at most a share of {budget:g}, and one usable slide",
        do=f"mend or remove the slides listed in {table}, or raise `{stage}.error_budget`",
    )


def grouped(rows: Sequence[SlideRow], errors: Mapping[str, EvenpatchError]) -> list[str]:
    """A line for each reason, the most frequent first: `10 slides (S00, S01, S02, ...): Error: reason`.

    Reasons that differ only by the slide's own paths count as one.
    """
    alike: defaultdict[tuple[str, str], list[SlideRow]] = defaultdict(list)
    for row in rows:
        if (error := errors.get(row.slide_id)) is not None:
            alike[type(error).__name__, _nameless(error.has, row)].append(row)
    frequent = sorted(alike.items(), key=lambda item: -len(item[1]))
    return [_line(kind, reason, slides, errors) for (kind, reason), slides in frequent]


def _line(kind: str, reason: str, slides: Sequence[SlideRow], errors: Mapping[str, EvenpatchError]) -> str:
    names = [row.slide_id for row in slides]
    if len(names) == 1:
        return f"{names[0]}: {kind}: {' '.join(errors[names[0]].has.split())}"
    more = ", ..." if len(names) > _NAMED else ""
    return f"{len(names)} slides ({', '.join(names[:_NAMED])}{more}): {kind}: {reason}"


def _nameless(reason: str, row: SlideRow) -> str:
    """The reason in one line, without what only this slide has: its files' paths."""
    for number, path in enumerate(row.images, 1):
        reason = reason.replace(str(path), "<image>" if len(row.images) == 1 else f"<image {number}>")
    if row.annotation is not None:
        reason = reason.replace(str(row.annotation), "<annotation>")
    return " ".join(reason.split())


def _placeless(reason: str, row: SlideRow, told: SlideRow) -> str:
    """The reason with paths as they are told: the table must not depend on where the project lies."""
    files = ((*row.images, row.annotation), (*told.images, told.annotation))
    for path, by in zip(*files, strict=True):
        reason = reason.replace(str(path), os.path.normpath(by)) if isinstance(by, Path) else reason
    return reason
