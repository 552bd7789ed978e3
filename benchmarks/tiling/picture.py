"""tiling.png: patches per second of every tool, one panel a grid and number of workers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.tiling.contest import median

_OURS, _LIMIT, _OTHER = "#0b6e4f", "#9aa0a6", "#c8553d"


def draw(entries: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Bars of the contests with peers, else of those without; nothing where nothing was measured."""
    chosen = [name for name in entries if name.startswith("peers/")]
    chosen = chosen or [name for name in entries if name.startswith("pixels/")]
    if not chosen:
        return
    figure = Figure(figsize=(3.6 * len(chosen) + 1, 3.2), layout="constrained")
    axes = figure.subplots(1, len(chosen), squeeze=False)
    for axis, name in zip(axes[0], chosen, strict=True):
        _bars(axis, entries[name]["contest"])
        axis.set_title(name.partition("/")[2].replace("/", ", ") + " workers", fontsize=9)
    figure.savefig(path, dpi=150)


def _bars(axis: Any, contest: Mapping[str, Any]) -> None:
    rates = {name: f["runs"][0]["patches"] / median(f) for name, f in contest.items() if f["runs"]}
    names = sorted(rates, key=lambda name: rates[name])
    colors = [_OURS if n == "evenpatch" else _LIMIT if n == "raw" else _OTHER for n in names]
    bars = axis.barh(names, [rates[name] for name in names], color=colors)
    axis.bar_label(bars, [f"{rates[name]:,.0f}" for name in names], padding=2, fontsize=8)
    axis.margins(x=0.2)
    axis.set_xlabel("patches / s")
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
