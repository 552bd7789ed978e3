"""A sweep over learning rates as a Markdown table, a table to print, and a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter
from rich.console import Group

from pipeline.files import NOT_ESTIMABLE
from pipeline.look.plots import ACCENT, INK, MUTED, TUMOR, canvas
from pipeline.tables.blocks import Block, Cell, Row
from pipeline.tables.writers import markdown_rows, printed_block

_PRUNED = "wga_pruned_"
_FIGURES = {
    "wga": "WGA",
    "gba": "GBA",
    "minority_confident_mispredictions": "confidently wrong on the minority",
    "activation_sparsity": "activations near zero",
}
_SHORT = {
    "learning rate": "rate",
    "confidently wrong on the minority": "minority wrong",
    "activations near zero": "near zero",
    "steps clipped": "clip",
}
"""Headings for a terminal."""
_SHADES = ("#2f8fc4", "#00845f", "#c98500", "#a8527f", "#6d7780")
_MARKS = ("s", "^", "v", "P", "*")


class Point(NamedTuple):
    """One learning rate.

    Attributes:
        learning_rate: largest of the schedule.
        figures: by split; a figure that is not estimable is none. Empty if the training diverged.
        failure: how it diverged, or empty.
        clip_rate: share of the steps whose gradient was clipped.
        best_epoch: whose weights were kept and measured.
        seconds: of the training.
    """

    learning_rate: float
    figures: Mapping[str, Mapping[str, float | None]]
    failure: str
    clip_rate: float | None
    best_epoch: float | None
    seconds: float

    @property
    def in_words(self) -> str:
        """In a few words."""
        if self.failure:
            return f"diverged, here the grid ends: {self.failure}"
        own = self.figures["validation"]
        return f"validation wga {_number(own['wga'])}  gba {_number(own['gba'])}"


def markdown(title: str, points: Sequence[Point]) -> str:
    """One table per split, and where the grid ended."""
    lines = [f"# {title}: learning rates", ""]
    for split, block in _blocks(title, points).items():
        lines += [f"## {split}", "", *markdown_rows(block), ""]
    return "\n".join([*lines, _ending(points), ""])


def printed(title: str, points: Sequence[Point], width: int) -> Group:
    """The same for a terminal of `width` columns."""
    blocks = _blocks(title, points).values()
    return Group(*(printed_block(block, width) for block in blocks), _ending(points))


def draw(title: str, points: Sequence[Point], path: Path) -> None:
    """Write a PNG: robustness and compressibility against the learning rate, one row per split."""
    trained = [point for point in points if not point.failure]
    splits = list(trained[0].figures)
    with canvas(9.2, 1.6 + 2.4 * len(splits), rows=len(splits), columns=2, sharex=True, sharey=True) as (
        figure,
        axes,
    ):
        for row, split in zip(axes, splits, strict=True):
            _draw_robustness(row[0], trained, split)
            _draw_compressibility(row[1], trained, split)
            for axis in row:
                _finish(axis, points)
            row[0].set_ylabel("%")
        for axis, columns in zip(axes[-1], (1, 2), strict=True):
            axis.set_xlabel("learning rate")
            axis.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.24), ncols=columns)
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
        figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def _draw_robustness(axis: Axes, points: Sequence[Point], split: str) -> None:
    _line(axis, points, split, "gba", "group-balanced accuracy", color=MUTED, marker="s")
    _line(axis, points, split, "wga", "worst-group accuracy", color=ACCENT, marker="o")
    look = {"color": TUMOR, "marker": "X", "linestyle": "--"}
    _line(
        axis, points, split, "minority_confident_mispredictions", "minority confidently mispredicted", **look
    )
    axis.set_title(f"robustness, {split}")


def _draw_compressibility(axis: Axes, points: Sequence[Point], split: str) -> None:
    _line(axis, points, split, "wga", "WGA, all weights", color=ACCENT, marker="o")
    levels = [key for key in points[0].figures[split] if key.startswith(_PRUNED)]
    for key, shade, mark in zip(levels, _SHADES, _MARKS, strict=False):
        name = f"WGA, {float(key.removeprefix(_PRUNED)):.0%} pruned"
        _line(axis, points, split, key, name, color=shade, marker=mark, linewidth=1.2)
    look = {"color": INK, "marker": "D", "linestyle": "--"}
    _line(axis, points, split, "activation_sparsity", "activations near zero", **look)
    axis.set_title(f"compressibility, {split}")


def _line(axis: Axes, points: Sequence[Point], split: str, key: str, name: str, **look: Any) -> None:
    known = [(p.learning_rate, p.figures[split][key]) for p in points if p.figures[split][key] is not None]
    if known:
        axis.plot(*zip(*known, strict=True), label=name, markersize=4.5, **look)


def _finish(axis: Axes, points: Sequence[Point]) -> None:
    axis.set(xscale="log", ylim=(-0.03, 1.03))
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    if points[-1].failure:
        end = points[-1].learning_rate
        axis.axvline(end, color=MUTED, linestyle=":", linewidth=1.2)
        axis.annotate(
            "diverged", (end, 0.98), (-3, 0), textcoords="offset points",
            rotation=90, ha="right", va="top", color=MUTED,
        )  # fmt: skip


def _blocks(title: str, points: Sequence[Point]) -> dict[str, Block]:
    """A table for every split."""
    trained = [point for point in points if not point.failure]
    return {split: _block(f"{title}: {split}", points, split) for split in trained[0].figures}


def _block(caption: str, points: Sequence[Point], split: str) -> Block:
    trained = next(point for point in points if not point.failure)
    pruned = [key for key in trained.figures[split] if key.startswith(_PRUNED)]
    names = _FIGURES | {key: f"WGA pruned by {float(key.removeprefix(_PRUNED)):.0%}" for key in pruned}
    head = ("learning rate", *names.values(), "steps clipped")
    short = tuple(_SHORT.get(name, name.replace(" pruned by ", " -")) for name in head)
    rows = tuple(
        Row(f"{point.learning_rate:g}", tuple(Cell((text,)) for text in _texts(point, split, tuple(names))))
        for point in points
    )
    return Block(caption, "", head, short, rows)


def _texts(point: Point, split: str, keys: Sequence[str]) -> list[str]:
    if point.failure:
        return ["diverged" if key == "wga" else "–" for key in (*keys, "clipped")]
    figures = point.figures[split]
    return [*(_number(figures[key]) for key in keys), f"{point.clip_rate or 0:.0%}"]


def _ending(points: Sequence[Point]) -> str:
    last = points[-1]
    if last.failure:
        return (
            f"The training diverged at a learning rate of {last.learning_rate:g}; larger ones were not tried."
        )
    return f"No training diverged up to {last.learning_rate:g}, the end of the grid."


def _number(value: float | None) -> str:
    return NOT_ESTIMABLE if value is None else f"{value:.3f}"
