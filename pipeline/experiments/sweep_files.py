"""A sweep over learning rates as a Markdown table, a table to print, and a picture."""

import math
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


class Training(NamedTuple):
    """One training at one learning rate.

    Attributes:
        seed: of the training.
        figures: by split; a figure that is not estimable is none. Empty if the training diverged.
        failure: how it diverged, or empty.
        clip_rate: share of the steps whose gradient was clipped.
        best_epoch: whose weights were kept and measured.
        seconds: of the training.
    """

    seed: int
    figures: Mapping[str, Mapping[str, float | None]]
    failure: str
    clip_rate: float | None
    best_epoch: float | None
    seconds: float


class Point(NamedTuple):
    """One learning rate, the largest of the schedule, with the trainings of all seeds."""

    learning_rate: float
    trainings: tuple[Training, ...]

    @property
    def failure(self) -> str:
        """How a training diverged, or empty."""
        return self.trainings[-1].failure

    @property
    def splits(self) -> tuple[str, ...]:
        """Those that were measured; none where the first training diverged."""
        return tuple(self.trainings[0].figures)

    def values(self, split: str, key: str) -> list[float]:
        """A figure of every seed; those that are not estimable are left out."""
        found = (training.figures[split][key] for training in self.trainings)
        return [value for value in found if value is not None]

    def mean(self, split: str, key: str) -> float | None:
        """Over the seeds; none where no seed tells it."""
        values = self.values(split, key)
        return math.fsum(values) / len(values) if values else None

    @property
    def clip_rate(self) -> float:
        """Mean over the seeds of the share of the steps whose gradient was clipped."""
        return math.fsum(training.clip_rate or 0.0 for training in self.trainings) / len(self.trainings)

    @property
    def in_words(self) -> str:
        """In a few words."""
        if self.failure:
            return f"diverged, here the grid ends: {self.failure}"
        found = (f"{key} {_number(self.mean('validation', key))}" for key in ("wga", "gba"))
        return f"validation {'  '.join(found)}"


def point_record(point: Point) -> dict[str, Any]:
    """A point for JSON: means over the seeds, and every training."""
    means = {
        split: {key: point.mean(split, key) for key in point.trainings[0].figures[split]}
        for split in (() if point.failure else point.splits)
    }
    return {
        "learning_rate": point.learning_rate,
        "failure": point.failure,
        "figures": means,
        "trainings": [training._asdict() for training in point.trainings],
    }


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
    splits = trained[0].splits
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
    levels = _levels(points[0], split)
    for key, shade, mark in zip(levels, _SHADES, _MARKS, strict=False):
        name = f"WGA, {float(key.removeprefix(_PRUNED)):.0%} pruned"
        _line(axis, points, split, key, name, color=shade, marker=mark, linewidth=1.2)
    look = {"color": INK, "marker": "D", "linestyle": "--"}
    _line(axis, points, split, "activation_sparsity", "activations near zero", **look)
    axis.set_title(f"compressibility, {split}")


def _levels(point: Point, split: str) -> list[str]:
    return [key for key in point.trainings[0].figures[split] if key.startswith(_PRUNED)]


def _line(axis: Axes, points: Sequence[Point], split: str, key: str, name: str, **look: Any) -> None:
    """The mean over the seeds, and from the lowest to the highest of them."""
    known = [(point.learning_rate, point.values(split, key)) for point in points if point.values(split, key)]
    if not known:
        return
    rates, values = zip(*known, strict=True)
    axis.plot(rates, [math.fsum(found) / len(found) for found in values], label=name, markersize=4.5, **look)
    axis.vlines(
        rates, [min(found) for found in values], [max(found) for found in values], look["color"], lw=1
    )


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
    return {split: _block(f"{title}: {split}", points, split) for split in trained[0].splits}


def _block(caption: str, points: Sequence[Point], split: str) -> Block:
    trained = next(point for point in points if not point.failure)
    pruned = _levels(trained, split)
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
    return [*(_told(point, split, key) for key in keys), f"{point.clip_rate:.0%}"]


def _told(point: Point, split: str, key: str) -> str:
    """The mean, and of several seeds their range."""
    mean, values = _number(point.mean(split, key)), point.values(split, key)
    return f"{mean} ({min(values):.3f}–{max(values):.3f})" if len(values) > 1 else mean


def _ending(points: Sequence[Point]) -> str:
    last = points[-1]
    if last.failure:
        return (
            f"The training diverged at a learning rate of {last.learning_rate:g}; larger ones were not tried."
        )
    return f"No training diverged up to {last.learning_rate:g}, the end of the grid."


def _number(value: float | None) -> str:
    return NOT_ESTIMABLE if value is None else f"{value:.3f}"
