"""The benchmark's tables and picture: ours beside the published figures."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cmnist.published import PUBLISHED
from benchmarks.cmnist.settings import Method, Settings
from pipeline.files import replacing
from pipeline.look.plots import canvas
from pipeline.look.styles import styles_of

Records = Mapping[tuple[str, float], Sequence[Mapping[str, Any]]]
PARTS = {
    "known": "Attributes known in training and validation",
    "validation_only": "Attributes known in validation only",
}
HEAD = (
    "Group-balanced accuracy on Colored MNIST's test images, %: mean ± standard deviation over seeds, chosen "
    "on validation images (trials per seed in brackets); below it the published figure, whose states and "
    "settings were chosen on the test images.\n"
)
ORACLE = (
    "The best test figure that any state of any trial reached: what a choice on the test images would "
    "report. Nothing above was chosen by it.\n"
)


def read_records(folder: Path, current: Callable[[Mapping[str, Any]], bool]) -> Records:
    """Finished cells by method and ratio, in order of seeds.

    Args:
        folder: of the records.
        current: whether a record is of the settings as they are now; others are left out.
    """
    found: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    for path in sorted(folder.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if current(record):
            found.setdefault((record["method"], record["ratio"]), []).append(record)
    return found


def markdown(settings: Settings, records: Records, *, oracle: bool = False) -> str:
    """Test accuracy chosen by validation; with `oracle` also chosen by the test split, under that name."""
    lines = [HEAD]
    for regime, title in PARTS.items():
        lines += [f"### {title}\n", *_table(settings, records, regime, lambda r: 100 * r["gba"], ""), ""]
    lines += ["### oracle\n", ORACLE] if oracle else []
    for regime in PARTS if oracle else ():
        lines += [*_table(settings, records, regime, lambda r: 100 * r["oracle_gba"], "oracle "), ""]
    return "\n".join(lines)


def _table(
    settings: Settings,
    records: Records,
    regime: str,
    figure: Callable[[Mapping[str, Any]], float],
    prefix: str,
) -> list[str]:
    ratios = settings.published_ratios
    head = "| method | " + " | ".join(f"{100 * ratio:g} %" for ratio in ratios) + " |"
    rows = [head, "|---" * (len(ratios) + 1) + "|"]
    for name, method in settings.methods.items():
        if method.attributes == regime:
            cells = [_cell(records.get((name, ratio), ()), figure, name, ratio) for ratio in ratios]
            rows.append(f"| {prefix}{method.title} | " + " | ".join(cells) + " |")
    return rows


def _cell(
    found: Sequence[Mapping[str, Any]],
    figure: Callable[[Mapping[str, Any]], float],
    name: str,
    ratio: float,
) -> str:
    mean, spread = PUBLISHED[name][ratio] if name in PUBLISHED else (None, None)
    paper = "" if mean is None else f"paper {mean:.2f}" + (f" ± {spread:.2f}" if spread is not None else "")
    if not found:
        return f"not run<br>{paper}"
    finished = [record for record in found if "failure" not in record]
    failed = f"{len(found) - len(finished)} of {len(found)} failed"
    if not finished:
        return f"{failed}<br>{paper}"
    values = [figure(record) for record in finished]
    own = f"**{np.mean(values):.2f}** ± {np.std(values, ddof=1) if len(values) > 1 else np.nan:.2f}"
    told = f" ({finished[0]['trials']})" + (f", {failed}" if len(finished) < len(found) else "")
    return f"{own}{told}<br>{paper}"


def draw(settings: Settings, records: Records, path: Path) -> None:
    """A PNG: our means and seeds as points, the published mean as an open ring, one panel per ratio."""
    ratios = settings.published_ratios
    methods = list(settings.methods.items())
    styles = styles_of(settings.methods)
    with canvas(2.2 * len(ratios) + 1.6, 3.4, columns=len(ratios), sharex=True, sharey=True) as (
        figure,
        axes,
    ):
        for axis, ratio in zip(axes[0], ratios, strict=True):
            for row, (name, _) in enumerate(methods):
                found = records.get((name, ratio), ())
                values = [100 * record["gba"] for record in found if "failure" not in record]
                axis.plot(values, [row] * len(values), linestyle="none", **styles[name].marked(5))
                if name in PUBLISHED:
                    axis.plot(
                        PUBLISHED[name][ratio][0],
                        row,
                        "o",
                        color="black",
                        markerfacecolor="none",
                        markersize=9,
                    )
            axis.set(title=f"{100 * ratio:g} % conflicting", xlim=(0, 100), xlabel="GBA, %")
            axis.set_yticks(range(len(methods)), [_label(method) for _, method in methods])
        axes[0, 0].invert_yaxis()
        figure.savefig(path, format="png", dpi=150, metadata={"Software": None})


def _label(method: Method) -> str:
    title = method.title.split(":")[-1].strip()
    return title if method.attributes == "known" else f"{title} (validation only)"


def write(
    settings: Settings, folder: Path, current: Callable[[Mapping[str, Any]], bool], *, oracle: bool = False
) -> str:
    """Write table.md and table.png of the finished cells of these settings; returns the table."""
    records = read_records(folder / "cells", current)
    text = markdown(settings, records, oracle=oracle)
    with replacing(folder / "table.md") as part:
        part.write_text(text, encoding="utf-8")
    with replacing(folder / "table.png") as part:
        draw(settings, records, part)
    return text
