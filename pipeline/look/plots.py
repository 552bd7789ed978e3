"""The report's look in matplotlib, and pictures as data URIs. Nothing here knows the data."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from pipeline.look.uris import data_uri

INK = "#1d2730"
MUTED = "#5d6b78"
RULE = "#d5dce2"
ACCENT = "#0b5a83"
TUMOR, NORMAL = "#b5541c", "#0b5a83"
_LETTERS_PER_INCH = 12
_MARK_LETTERS = 7
"""Width of a legend's text at its font size, and of a mark with the space about it."""
_FONTS = b"'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans'"

# The stubs list every key as a literal type; a plain mapping of settings does not satisfy them.
_STYLE: Any = {
    "svg.fonttype": "none",
    # Shipped with matplotlib: text is measured alike on every machine. The browser gets the page's fonts.
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e7ebef",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


@contextmanager
def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **grid: Any) -> Iterator[Any]:
    """A figure of `width` x `height` inches in the report's style: yields (figure, axes[rows, columns])."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        yield figure, figure.subplots(rows, columns, squeeze=False, **grid)


def svg(figure: Figure, name: str) -> bytes:
    """The figure as SVG, the same bytes at every call: ids are salted by `name`, no date is written."""
    buffer = io.BytesIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        # Not `savefig`: it draws the figure a first time, to lay it out, which is done while drawing, too.
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue().replace(b"'DejaVu Sans'", _FONTS)


def svg_uri(content: bytes) -> Markup:
    """SVG as a data URI. As an image it can run no script, and its ids stay its own."""
    return data_uri("svg+xml", content)


def percent_axis(axes: Axes, which: str = "x") -> None:
    """Label an accuracy axis in percent of patches, 0 to 100."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_ticks([0, 0.25, 0.5, 0.75, 1], ["0", "25", "50", "75", "100"])
    (axes.set_xlim if which == "x" else axes.set_ylim)(-0.02, 1.02)


def legend_below(figure: Figure, axes: Axes, names: Sequence[str]) -> None:
    """One legend for all panels, under them, in as many columns as the figure is wide enough for."""
    handles, labels = axes.get_legend_handles_labels()
    kept = dict(zip(labels, handles, strict=True))
    shown = [name for name in names if name in kept]
    if shown:
        room = figure.get_figwidth() * _LETTERS_PER_INCH
        fitting = int(room // (max(map(len, shown)) + _MARK_LETTERS))
        columns = min(len(shown), max(fitting, 1), 4)
        figure.legend([kept[name] for name in shown], shown, loc="outside lower left", ncols=columns)
