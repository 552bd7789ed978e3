"""What the differences that are not the primary one may say together: Holm's correction."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from models.metrics.intervals import paired_difference
from pipeline.results.bootstrap import BootstrapSettings
from pipeline.results.figures import FAMILY, Contrast, Scoreboard
from pipeline.results.verdict import SURE

Excludes = Callable[[float], bool]
"""Whether a difference's interval of a level excludes 0; of a higher level only where of a lower one."""


def corrected(boards: Sequence[Scoreboard]) -> tuple[Scoreboard, ...]:
    """The scoreboards of one source with the verdicts that their differences allow together.

    The family are the differences of the worst-group accuracy in all of them, whatever the threshold; without
    the primary comparison, and without those that cannot be read.
    """
    family = [
        (contrast, board.settings)
        for board in boards
        for contrast in board.contrasts
        if not contrast.primary and contrast.readings[FAMILY] in (*SURE, "open")
    ]
    if not family:
        return tuple(boards)
    told = told_together([partial(_excludes_zero, *member) for member in family], family[0][1].level)
    lost = [contrast for (contrast, _), sure in zip(family, told, strict=True) if not sure]

    def judged(contrast: Contrast) -> Contrast:
        return replace(contrast, verdict="open") if any(contrast is one for one in lost) else contrast

    return tuple(
        replace(board, family=len(family), contrasts=tuple(map(judged, board.contrasts))) for board in boards
    )


def _excludes_zero(contrast: Contrast, settings: BootstrapSettings, level: float) -> bool:
    if contrast.readings[FAMILY] not in SURE:
        # An interval of a higher level holds the one that is read by itself, and so its 0.
        return False
    drawn = settings.drawn | {"level": level}
    return paired_difference(*contrast.sums, **drawn)[FAMILY].excludes_zero


def told_together(excludes: Sequence[Excludes], level: float) -> tuple[bool, ...]:
    """Which differences are told from 0, all of them together at `level`.

    Holm, A simple sequentially rejective multiple test procedure (1979): of m differences the first is told
    at 1 - (1 - level) / m, and each one that is told lets the others be read at a lower level. The p-value
    of a difference is one minus the highest level whose interval excludes 0; asked for the levels that
    Holm needs, the intervals say the same without naming it.

    >>> told_together([lambda level: level < 0.98, lambda level: level < 0.96], 0.95)
    (True, True)
    >>> told_together([lambda level: level < 0.96, lambda level: level < 0.97], 0.95)
    (False, False)
    """
    told: set[int] = set()
    while len(told) < len(excludes):
        step = first_level(len(excludes) - len(told), level)
        found = {i for i, excluded in enumerate(excludes) if i not in told and excluded(step)}
        if not found:
            break
        told |= found
    return tuple(i in told for i in range(len(excludes)))


def first_level(n_differences: int, level: float) -> float:
    """Level at which the first of so many differences is told from 0."""
    return 1 - (1 - level) / n_differences
