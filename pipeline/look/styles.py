"""Color and marker of every method, the same in every chart: a table by name, and a rule for newcomers.

No two methods share a color or a marker. The colors were taken one after the other, each the one farthest
from those before it (CIEDE2000, for full color vision and simulated protanopia and deuteranopia, among
colors that stand out from white), so that methods shown often, which come first, differ most.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.colors import to_hex, to_rgb
from matplotlib.path import Path

from pipeline.look.plots import INK

DERIVED = "+"
"""Parts the name of a method from a rule that decides by its logits: `erm+by_tissue`."""
_DECIDED: dict[str, dict[str, Any]] = {
    "by_tissue": {"inside": 0.0},
    "by_attribute": {"inside": 0.45},
    "threshold": {"inside": 0.25, "dark": True},
    "card": {"inside": 1.0, "dark": True},
}
_BY_ANOTHER: dict[str, Any] = {"inside": 0.6, "dark": True}
"""What differs from the method's own style, by rule. Half-filled markers would not do:
matplotlib fills outlines of one's own whole."""
_HALF_DISKS = tuple(Path.wedge(start, start + 180) for start in (0, 90, 180, 270))
_PACMAN = Path.wedge(45, 315)
_HOURGLASS = Path([(-0.8, 1), (0.8, 1), (-0.8, -1), (0.8, -1), (-0.8, 1)], closed=True)
_BOW_TIE = Path([(-1, 0.8), (-1, -0.8), (1, 0.8), (1, -0.8), (-1, 0.8)], closed=True)
_TALL_BAR = Path([(-0.45, 1), (0.45, 1), (0.45, -1), (-0.45, -1), (-0.45, 1)], closed=True)
_WIDE_BAR = Path([(-1, 0.45), (1, 0.45), (1, -0.45), (-1, -0.45), (-1, 0.45)], closed=True)

Marker = str | tuple[int, int, int] | Path
_TABLE: dict[str, tuple[str, Marker]] = {
    "erm": ("#6d7780", "o"),
    "class_balanced": ("#c98500", "s"),
    "group_resampling": ("#00845f", "^"),
    "gerne": ("#0b5a83", "D"),
    "gerne_unknown": ("#ff70c2", "d"),
    "group_dro": ("#700000", "v"),
    "dfr": ("#666600", "P"),
    "jtt": ("#e01f47", "X"),
    "reweight": ("#3d00c2", "p"),
    "subg": ("#47adff", ">"),
    "lisa": ("#472947", "*"),
    "lff": ("#c2998f", "<"),
    "cnc": ("#c214cc", _HOURGLASS),
    "irm": ("#293d33", "h"),
    "crt": ("#52b85c", _HALF_DISKS[0]),
    "reweight_crt": ("#33a3ad", _HALF_DISKS[1]),
    "mixup": ("#704729", (4, 1, 0)),
    "sam": ("#8f2947", (6, 1, 0)),
    "sqrt_reweight": ("#006666", (5, 0, 180)),
    "cb_loss": ("#857aff", _TALL_BAR),
    "balanced_softmax": ("#8570a3", _WIDE_BAR),
    "spectral_decoupling": ("#1f3370", (4, 1, 45)),
    "lc": ("#a3a3a3", _HALF_DISKS[2]),
    "mat": ("#3352ff", _HALF_DISKS[3]),
    "pde": ("#8f8f66", _PACMAN),
    "dfa": ("#d64785", (5, 1, 180)),
    "depth_experts": ("#d60000", _BOW_TIE),
    "denetdm": ("#a3a3cc", (8, 1, 0)),
    # No method: what a study's reader gets who trusts validation (pipeline.experiments.best_on_validation).
    "best_on_validation": ("#000000", (3, 1, 0)),
}
"""Matplotlib's markers: names, (points, 1 for a star, angle), or outlines."""


@dataclass(frozen=True)
class Style:
    """How a method is drawn.

    Attributes:
        color: of its lines and markers.
        marker: of matplotlib.
        inside: share of the color inside the marker, the rest white: 1 of a trained method, mostly less
            where a rule decides by its logits.
        dark: whether the marker's outline is dark, and not of the color.
    """

    color: str
    marker: Marker
    inside: float = 1.0
    dark: bool = False

    def marked(self, size: float = 6.0) -> dict[str, Any]:
        """Keywords of `Axes.plot` for points of this style."""
        red, green, blue = (1 + self.inside * (part - 1) for part in to_rgb(self.color))
        return {
            "color": self.color,
            "marker": self.marker,
            "markerfacecolor": to_hex((red, green, blue)),
            "markeredgecolor": INK if self.dark else self.color,
            "markersize": size,
        }


def style_of(name: str) -> Style:
    """Style of one method, as in every chart that does not hold two newcomers of one style."""
    return styles_of([name])[name]


def styles_of(names: Iterable[str]) -> dict[str, Style]:
    """Styles of a chart's methods, no two the same.

    A method that is not in the table has the first letter of its name as its marker (small, where a rule
    decides), and a color that follows from the name; where two such would be the same, the one later in the
    alphabet gets the next color.

    Args:
        names: of algorithms; after a `+` the rule that decides by an algorithm's logits.
    """
    wanted, found = list(names), dict[str, Style]()
    for base in sorted({name.partition(DERIVED)[0] for name in wanted}):
        found[base] = Style(*_TABLE[base]) if base in _TABLE else _newcomer(base, set(found.values()))
    return {
        name: _decided(found[base], rule) for name in wanted for base, _, rule in [name.partition(DERIVED)]
    }


def _newcomer(name: str, taken: set[Style]) -> Style:
    letter = next((mark for mark in name.upper() if mark.isascii() and mark.isalnum()), "?")
    colors = [color for color, _ in _TABLE.values()]
    # Not hash(), which is another one in every process.
    first = zlib.crc32(name.encode()) % len(colors)
    styles = [Style(color, f"${letter}$") for color in (*colors[first:], *colors[:first])]
    return next((style for style in styles if style not in taken), styles[0])


def _decided(base: Style, rule: str) -> Style:
    if not rule:
        return base
    letter = isinstance(base.marker, str) and base.marker.startswith("$")
    # The strokes of a letter have no inside to be seen.
    marker = str(base.marker).lower() if letter else base.marker
    return replace(base, marker=marker, **_DECIDED.get(rule, _BY_ANOTHER))
