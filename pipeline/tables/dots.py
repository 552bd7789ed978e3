"""The picture of scoreboards: a row for every method, a panel for every threshold."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.look import plots as drawing
from pipeline.results.figures import Method, Scoreboard

_MARKS = {"gba": ("D", "group-balanced (GBA)"), "average": ("s", "average")}
_WORST, _EACH = "worst group (WGA)", "each group"


@contextmanager
def dot_plot(
    boards: Sequence[Scoreboard], names: Mapping[str, str], place: Callable[[str], int]
) -> Iterator[Figure]:
    """Worst-group accuracy with its interval, and beside it the other accuracies.

    Args:
        names: to print, by algorithm, from the top row down.
        place: of an algorithm in the palette.
    """
    rows = list(names)
    with drawing.canvas(7.4, 1.3 + 0.42 * len(rows), 1, len(boards), sharey=True) as (figure, grid):
        for axes, board in zip(grid[0], boards, strict=True):
            for method in board.methods:
                _row(axes, rows.index(method.algorithm), method, drawing.color(place(method.algorithm)))
            axes.set_title(board.told_threshold)
            axes.set_xlabel("accuracy on test patches, %")
            drawing.percent_axis(axes)
        grid[0, 0].set_yticks(range(len(rows)), names.values())
        grid[0, 0].set_ylim(len(rows) - 0.5, -0.5)
        titles = [title for _, title in _MARKS.values()]
        drawing.legend_below(figure, grid[0, 0], (_WORST, *titles, _EACH))
        yield figure


def _row(axes: Axes, row: int, method: Method, tone: str) -> None:
    groups, wga = [group.estimate for group in method.groups], method.figures["wga"]
    axes.plot(groups, [row] * len(groups), "|", color=drawing.MUTED, markersize=9, label=_EACH, zorder=2)
    axes.plot([wga.low, wga.high], [row, row], color=tone, linewidth=2.2, zorder=3)
    axes.plot(wga.estimate, row, "o", color=tone, markersize=7, label=_WORST, zorder=4)
    for key, (shape, title) in _MARKS.items():
        look: dict[str, Any] = {"color": tone, "markerfacecolor": "white", "markersize": 6, "zorder": 3}
        axes.plot(method.figures[key].estimate, row, shape, label=title, **look)
