"""A sweep over learning rates as a Markdown table, a table to print, and a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table

from pipeline.drawing import ACCENT, INK, MUTED, RULE, TUMOR, canvas

_PRUNED = "wga_pruned_"
_SHADES = ("#9cc4dc", "#5a9cc2", "#0b5a83", "#06324a")


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
    def told(self) -> str:
        """In a few words."""
        if self.failure:
            return f"diverged, here the grid ends: {self.failure}"
        own = self.figures["validation"]
        return f"validation wga {_number(own['wga'])}  gba {_number(own['gba'])}"


def markdown(title: str, points: Sequence[Point]) -> str:
    """One table per split, and where the grid ended."""
    lines = [f"# {title}: learning rates", ""]
    for split, columns in _tables(points).items():
        lines += [f"## {split}", "", "| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in zip(*columns.values(), strict=True)]
        lines.append("")
    return "\n".join([*lines, _ending(points), ""])


def printed(title: str, points: Sequence[Point]) -> Group:
    """The same for a terminal."""
    return Group(*(_table(f"{title}: {s}", c) for s, c in _tables(points).items()), _ending(points))


def draw(title: str, points: Sequence[Point], path: Path) -> None:
    """Write a PNG: robustness and compressibility against the learning rate, one row per split."""
    trained = [point for point in points if not point.failure]
    splits = list(trained[0].figures)
    with canvas(9.2, 0.9 + 2.9 * len(splits), rows=len(splits), columns=2, sharex=True) as (figure, axes):
        for row, split in zip(axes, splits, strict=True):
            _draw_robustness(row[0], trained, split)
            _draw_compressibility(row[1], trained, split)
            for axis in row:
                _finish(axis, points)
        for axis in axes[-1]:
            axis.set_xlabel("learning rate")
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
        figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def _draw_robustness(axis: Axes, points: Sequence[Point], split: str) -> None:
    _line(axis, points, split, "gba", "group-balanced accuracy", color=MUTED, marker="s")
    _line(axis, points, split, "wga", "worst-group accuracy", color=ACCENT, marker="o")
    name = "confident mispredictions of the minority"
    look = {"color": TUMOR, "marker": "X", "linestyle": "--"}
    _line(axis, points, split, "minority_confident_mispredictions", name, **look)
    axis.set(title=f"robustness ({split})", ylabel="% of patches")


def _draw_compressibility(axis: Axes, points: Sequence[Point], split: str) -> None:
    levels = [key for key in points[0].figures[split] if key.startswith(_PRUNED)]
    for position, key in enumerate(levels):
        name = f"WGA without {float(key.removeprefix(_PRUNED)):.0%} of the weights"
        shade = _SHADES[min(position, len(_SHADES) - 1)]
        _line(axis, points, split, key, name, color=shade, marker="o")
    look = {"color": INK, "marker": "D", "linestyle": "--"}
    _line(axis, points, split, "activation_sparsity", "activations near zero", **look)
    axis.set(title=f"compressibility ({split})", ylabel="% of patches or activations")


def _line(axis: Axes, points: Sequence[Point], split: str, key: str, name: str, **look: Any) -> None:
    known = [(p.learning_rate, p.figures[split][key]) for p in points if p.figures[split][key] is not None]
    if known:
        axis.plot(*zip(*known, strict=True), label=name, markersize=4.5, **look)


def _finish(axis: Axes, points: Sequence[Point]) -> None:
    axis.set(xscale="log", ylim=(-0.03, 1.03))
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=""))
    if points[-1].failure:
        end = points[-1].learning_rate
        axis.axvspan(end / 1.12, end * 1.12, color=RULE)
        axis.annotate("diverged", (end, 0.5), rotation=90, ha="center", va="center", color=MUTED)
    axis.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=1)


def _tables(points: Sequence[Point]) -> dict[str, dict[str, list[str]]]:
    """Cells of every split's table, by column."""
    trained = [point for point in points if not point.failure]
    return {split: _columns(points, split, trained[0].figures[split]) for split in trained[0].figures}


def _columns(
    points: Sequence[Point], split: str, figures: Mapping[str, float | None]
) -> dict[str, list[str]]:
    names = {
        "wga": "WGA",
        "gba": "GBA",
        "minority_confident_mispredictions": "confidently wrong on the minority",
        "activation_sparsity": "activations near zero",
    }
    names |= {
        key: f"WGA pruned by {float(key.removeprefix(_PRUNED)):.0%}"
        for key in figures
        if key.startswith(_PRUNED)
    }
    columns = {"learning rate": [f"{point.learning_rate:g}" for point in points]}
    for key, name in names.items():
        columns[name] = [
            "diverged" if point.failure else _number(point.figures[split][key]) for point in points
        ]
    columns["steps clipped"] = ["diverged" if p.failure else f"{p.clip_rate or 0:.0%}" for p in points]
    return columns


def _table(title: str, columns: Mapping[str, Sequence[str]]) -> Table:
    table = Table(box=SIMPLE, padding=(0, 1), title=title)
    for name in columns:
        table.add_column(name, justify="right")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _ending(points: Sequence[Point]) -> str:
    last = points[-1]
    if last.failure:
        return (
            f"The training diverged at a learning rate of {last.learning_rate:g}; larger ones were not tried."
        )
    return f"No training diverged up to {last.learning_rate:g}, the end of the grid."


def _number(value: float | None) -> str:
    return "not estimable" if value is None else f"{value:.3f}"
