"""The picture of training: loss, and validation accuracy of the worst group and of the groups' mean."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.ticker import MaxNLocator

from pipeline import drawing

Series = tuple[str, int, pd.DataFrame, int]
"""Name to print, place in the palette, history (one row per validation), step kept."""

_PANELS = (
    ("train_loss", "training loss"),
    ("validation_wga", "validation WGA, %"),
    ("validation_gba", "validation GBA, %"),
)


def curves_figure(series: Sequence[Series], name: str) -> bytes:
    """Three panels over the epochs as SVG; the epoch kept is marked on every line."""
    with drawing.canvas(7.4, 2.7, 1, len(_PANELS)) as (figure, grid):
        for axes, (column, title) in zip(grid[0], _PANELS, strict=True):
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
