"""The one engine for figures: words that stand in one place."""

import ast
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.metrics.intervals import Interval
from pipeline.files import NOT_ESTIMABLE, finite_or
from pipeline.results.verdict import READINGS, estimable, interval_record, reading_of
from pipeline.training.layout import TISSUE


def spoken(path: Path) -> Iterator[str]:
    """String literals of a module, docstrings apart."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize(
    ("words", "home"),
    [
        (NOT_ESTIMABLE, ["pipeline/files.py"]),
        # Made of the classes' and the attribute's names, and written out nowhere.
        (TISSUE.names[0], []),
    ],
)
def test_the_words_stand_in_one_file(words: str, home: list[str], repository: Path) -> None:
    packages = ("patching", "models", "pipeline")
    modules = [path for package in packages for path in sorted((repository / package).rglob("*.py"))]
    found = [path for path in modules if any(words in text.lower() for text in spoken(path))]
    templates = [path for path in (repository / "pipeline").rglob("templates/*") if path.is_file()]
    assert len(templates) > 10
    found += [path for path in templates if words in path.read_text(encoding="utf-8").lower()]
    assert [path.relative_to(repository).as_posix() for path in found] == home


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_has_no_word_for_becomes_the_one_given(value: float) -> None:
    assert finite_or(value, NOT_ESTIMABLE) == NOT_ESTIMABLE
    assert finite_or(value, None) is None
    assert finite_or(0.5, None) == 0.5


@pytest.mark.parametrize(
    ("low", "high", "judged", "reading"),
    [
        (0.1, 0.3, True, "better"),
        (-0.3, -0.1, True, "worse"),
        (-0.1, 0.3, True, "open"),
        (0.1, 0.3, False, "few"),
        (math.nan, math.nan, True, "unknown"),
    ],
)
def test_the_reading_of_a_difference(low: float, high: float, reading: str, *, judged: bool) -> None:
    interval = Interval((low + high) / 2, low, high, 0.95, 0.0, math.nan)
    found = reading_of(interval, judged=judged)
    assert found == reading
    assert estimable(interval) == (found != "unknown")
    assert READINGS[found]
    assert interval_record(interval)["spread"] == NOT_ESTIMABLE
