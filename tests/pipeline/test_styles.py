"""Every method has a color and a marker of its own, in every chart."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from skimage.color import deltaE_ciede2000, rgb2lab

from benchmarks.cmnist import settings as cmnist_settings
from benchmarks.cmnist import table as cmnist_table
from models.algorithms.registry import ALGORITHMS
from models.metrics.along_attribute import attribute_curve
from pipeline.experiments import tune_picture
from pipeline.experiments.best_on_validation import BEST
from pipeline.experiments.search import Told
from pipeline.look.curves import curves_figure
from pipeline.look.plots import canvas
from pipeline.look.styles import Style, style_of, styles_of
from pipeline.report.panels.structure import draw_curves
from pipeline.report.sources import Sources
from pipeline.tables.dots import dot_plot
from pipeline.yaml_file import load_yaml

SIMULATED = (
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
)
"""Protanopia and deuteranopia, on linear RGB (Machado, Oliveira, Fernandes 2009, severity 1)."""
OFTEN = ("erm", "class_balanced", "group_resampling", "gerne")
DERIVED = [f"{name}+{rule}" for name in ALGORITHMS for rule in ("by_tissue", "by_attribute", "threshold")]


def linear(rgb: np.ndarray) -> np.ndarray:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def seen(rgb: np.ndarray, matrix: list[list[float]]) -> np.ndarray:
    light = (linear(rgb) @ np.array(matrix).T).clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def distance(one: str, other: str, matrix: list[list[float]] | None = None) -> float:
    rgb = np.array([to_rgb(one), to_rgb(other)])
    lab = rgb2lab(rgb if matrix is None else seen(rgb, matrix))
    return float(deltaE_ciede2000(lab[0], lab[1]))


def test_no_two_methods_share_a_color_or_a_marker(repository: Path) -> None:
    names = {*ALGORITHMS, *load_yaml(repository / "configs" / "report.yaml")["names"], BEST}
    styles = styles_of(names)
    assert len({style.color for style in styles.values()}) == len(names) == 29
    assert len({str(style.marker) for style in styles.values()}) == len(names)
    assert {(style.inside, style.dark) for style in styles.values()} == {(1, False)}


def test_colors_are_told_apart() -> None:
    """Also by color-blind readers, who for the rarer pairs have the marker too; and from white."""
    for one, other in combinations(styles_of([*ALGORITHMS, BEST]).values(), 2):
        assert distance(one.color, other.color) > 12
        assert min(distance(one.color, other.color, matrix) for matrix in SIMULATED) > 6
    for one, other in combinations(styles_of(OFTEN).values(), 2):
        assert distance(one.color, other.color) > 16
        assert min(distance(one.color, other.color, matrix) for matrix in SIMULATED) > 10
    for style in styles_of([*ALGORITHMS, BEST]).values():
        luminance = linear(np.array(to_rgb(style.color))) @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (luminance + 0.05) > 2.3


def test_what_a_rule_decides_has_its_methods_color_and_marker_and_another_face() -> None:
    styles = styles_of([*ALGORITHMS, *DERIVED])
    for name in DERIVED:
        base = styles[name.partition("+")[0]]
        assert (styles[name].color, styles[name].marker) == (base.color, base.marker)
        assert (styles[name].inside, styles[name].dark) != (base.inside, base.dark)
    assert styles["erm+by_tissue"].marked()["markerfacecolor"] == "#ffffff"
    assert styles["erm"].marked()["markerfacecolor"] == styles["erm"].color
    assert styles["erm+by_tissue"] == style_of("erm+by_tissue")
    assert len(set(styles.values())) == 4 * len(ALGORITHMS)


def test_a_newcomer_has_a_style_that_stays() -> None:
    assert style_of("newcomer") == Style("#3352ff", "$N$")
    assert style_of("newcomer+by_tissue") == Style("#3352ff", "$n$", inside=0)
    assert style_of("ä").marker == "$?$"
    many = [f"{letter}{number}" for letter in "xy" for number in range(28)]
    styles = styles_of([*ALGORITHMS, *many])
    assert len(set(styles.values())) == len(styles)
    assert styles == styles_of([*reversed(many), *ALGORITHMS])
    assert styles["gerne"] == style_of("gerne")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures in place of the files that they would become."""
    figures: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    monkeypatch.setattr(FigureCanvasSVG, "print_svg", lambda canvas, *_, **__: figures.append(canvas.figure))
    return figures


def looks(figure: Figure) -> set[tuple[Any, ...]]:
    """Color, marker, its face and its edge of everything that is drawn."""
    lines = [line for axes in figure.axes for line in axes.lines]
    return {
        (line.get_color(), str(line.get_marker()), line.get_markerfacecolor(), line.get_markeredgecolor())
        for line in lines
    }


def expected(names: Iterable[str]) -> set[tuple[Any, ...]]:
    marked = [style.marked() for style in styles_of(names).values()]
    return {(m["color"], str(m["marker"]), m["markerfacecolor"], m["markeredgecolor"]) for m in marked}


NAMES = [*ALGORITHMS, *DERIVED[::3], "newcomer"]


def test_dots(sources: Sources) -> None:
    board = sources.boards["low"]
    methods = [
        replace(method, pool=replace(method.pool, algorithm=name))
        for name in NAMES
        for method in board.methods[:1]
    ]
    many = replace(board, methods=tuple(methods))
    with dot_plot([many], {name: name for name in NAMES}) as figure:
        assert len(expected(NAMES)) == len(NAMES)
        assert expected(NAMES) <= looks(figure)


def test_training_curves(drawn: list[Figure]) -> None:
    history = pd.DataFrame({"step": [1, 2], "epoch": [1, 2], "train_loss": [0.9, 0.2]})
    history = history.assign(validation_wga=0.5, validation_gba=[0.6, 0.7])
    curves_figure([(name, name.upper(), history, 2) for name in NAMES], "name")
    assert expected(NAMES) <= looks(drawn[0])


def test_curves_along_the_tissue() -> None:
    rng = np.random.default_rng(0)
    label_N, tissue_N = rng.integers(0, 2, 400), rng.random(400)
    curve = attribute_curve(label_N, label_N, tissue_N, 2, patient=np.arange(400) % 5, n_draws=20)
    with canvas(5, 5) as (figure, grid):
        draw_curves(grid[0, 0], dict.fromkeys(NAMES, curve), 1, {name: name for name in NAMES})
        assert expected(NAMES) <= looks(figure)


def test_a_search(drawn: list[Figure], tmp_path: Path) -> None:
    references = [name for name in NAMES if name != "gerne"]
    records = {name: {"figures": {"wga": 0.5}} for name in references}
    trial = Told(0, {"position": 1.0, "settings": {}, "figures": {"wga": 0.7}, "score": [0.7]})
    shown = {"wga": "WGA"}
    tune_picture.draw((trial,), trial, records, shown, ("beta",), "", tmp_path, algorithm="gerne")
    assert expected(NAMES) <= looks(drawn[0])


def test_the_colored_mnist_benchmark(drawn: list[Figure], tmp_path: Path) -> None:
    settings = cmnist_settings.load()
    records = {
        (name, ratio): [{"gba": 0.5}] for name in settings.methods for ratio in settings.published_ratios
    }
    cmnist_table.draw(settings, records, tmp_path / "table.png")
    assert expected(settings.methods) <= looks(drawn[0])
