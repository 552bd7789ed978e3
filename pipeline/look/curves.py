"""The picture of training: loss, and validation accuracy of the worst group and of the groups' mean.

Where no training knew groups in validation, it is the accuracy of the worst class and of the classes' mean.
"""

from collections.abc import Sequence

import pandas as pd
from matplotlib.ticker import MaxNLocator

from pipeline.look import plots as drawing
from pipeline.look.styles import styles_of

Series = tuple[str, str, pd.DataFrame, int]
"""Algorithm, name to print, history (one row per validation), step kept."""

_LOSS = ("train_loss", "training loss")
_OF_GROUPS = (_LOSS, ("validation_wga", "validation WGA, %"), ("validation_gba", "validation GBA, %"))
_OF_CLASSES = (
    _LOSS,
    ("validation_worst_class", "validation worst class, %"),
    ("validation_class_balanced", "validation class mean, %"),
)


def curves_figure(series: Sequence[Series], name: str) -> bytes:
    """Three panels over the epochs as SVG; the epoch kept is marked on every line."""
    panels = curves_of([history for _, _, history, _ in series])
    styles = styles_of([algorithm for algorithm, *_ in series])
    with drawing.canvas(7.4, 2.7, 1, len(panels)) as (figure, grid):
        for axes, (column, title) in zip(grid[0], panels, strict=True):
            for algorithm, label, history, best in series:
                look = styles[algorithm].marked(7)
                axes.plot(history["epoch"], history[column], color=look["color"], linewidth=1.3)
                kept = history[history["step"] == best]
                axes.plot(kept["epoch"], kept[column], label=label, linestyle="none", **look)
            axes.set_title(title)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if column != "train_loss":
                drawing.percent_axis(axes, "y")
        drawing.legend_below(figure, grid[0, 0], [label for _, label, *_ in series])
        return drawing.svg(figure, name)


def curves_of(histories: Sequence[pd.DataFrame]) -> tuple[tuple[str, str], ...]:
    """Column and title of every curve: what all histories can show."""
    blind = all(history["validation_wga"].isna().all() for history in histories)
    known = all(column in history for history in histories for column, _ in _OF_CLASSES)
    return _OF_CLASSES if blind and known else _OF_GROUPS
