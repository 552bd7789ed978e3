"""The picture of training: loss, and validation accuracy of the worst group and of the groups' mean.

Where no training knew groups in validation, it is the accuracy of the worst class and of the classes' mean.
"""

from collections.abc import Sequence

import pandas as pd
from matplotlib.ticker import MaxNLocator

from pipeline.look import plots as drawing

Series = tuple[str, int, pd.DataFrame, int]
"""Name to print, place in the palette, history (one row per validation), step kept."""

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
    with drawing.canvas(7.4, 2.7, 1, len(panels)) as (figure, grid):
        for axes, (column, title) in zip(grid[0], panels, strict=True):
            for label, place, history, best in series:
                tone = drawing.color(place)
                axes.plot(history["epoch"], history[column], color=tone, label=label, linewidth=1.3)
                kept = history[history["step"] == best]
                axes.plot(kept["epoch"], kept[column], drawing.marker(place), color=tone, markersize=7)
            axes.set_title(title)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if column != "train_loss":
                drawing.percent_axis(axes, "y")
        drawing.legend_below(figure, grid[0, 0], [label for label, *_ in series])
        return drawing.svg(figure, name)


def curves_of(histories: Sequence[pd.DataFrame]) -> tuple[tuple[str, str], ...]:
    """Column and title of every curve: what all histories can show."""
    blind = all(history["validation_wga"].isna().all() for history in histories)
    known = all(column in history for history in histories for column, _ in _OF_CLASSES)
    return _OF_CLASSES if blind and known else _OF_GROUPS
