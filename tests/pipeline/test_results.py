"""The one engine for figures: words that stand in one place, and what may be said of differences."""

import ast
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.metrics.intervals import Interval, paired_difference
from pipeline.files import NOT_ESTIMABLE, finite_or
from pipeline.results.answers import Names, answer, ranking_of, reason_of, why
from pipeline.results.contrasts import corrected, first_level, told_together
from pipeline.results.figures import Scoreboard
from pipeline.results.scoreboards import scoreboards_of
from pipeline.results.terms import JudgingSettings
from pipeline.results.verdict import READINGS, Reading, estimable, interval_record, reading_of
from pipeline.training.layout import GIVEN, TISSUE
from tests.pipeline.simulated import run_of, study_of, terms_for


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


def by_p_values(p_M: list[float], level: float) -> list[bool]:
    """Holm's procedure as it is written: sorted p-values, step by step."""
    told = [False] * len(p_M)
    for step, place in enumerate(np.argsort(p_M, kind="stable")):
        if p_M[place] > (1 - level) / (len(p_M) - step):
            break
        told[place] = True
    return told


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sampled_from([0.8, 0.9, 0.95]))
def test_holms_correction_is_that_of_p_values(p_M: list[float], level: float) -> None:
    steps = [(1 - level) / m for m in range(1, len(p_M) + 1)]
    # On the edge itself, rounding decides.
    assume(all(abs(p - step) > 1e-9 for p in p_M for step in steps))
    # The interval of a level excludes 0 where its p-value is below one minus that level.
    found = told_together([partial(excluded, p) for p in p_M], level)
    assert list(found) == by_p_values(p_M, level)
    # Never more than without a correction, and Bonferroni's at least.
    assert all(p <= 1 - level for p, told in zip(p_M, found, strict=True) if told)
    assert all(told for p, told in zip(p_M, found, strict=True) if p <= steps[-1])


def excluded(p: float, level: float) -> bool:
    return p < 1 - level


def test_no_difference_is_no_family() -> None:
    assert told_together([], 0.95) == ()
    assert first_level(1, 0.95) == pytest.approx(0.95)
    assert first_level(10, 0.95) == pytest.approx(0.995)


NAMES = Names("GERNE", "ERM", "ERM, decided by tissue")
SAID: tuple[Reading, ...] = ("better", "worse", "open", "unknown")


@pytest.mark.parametrize(
    ("ranking", "control", "conclusion"),
    [
        ("better", "better", "a better representation is shown, and more than a moved threshold"),
        ("better", "open", "a better representation is shown, but not that the worst group needs it"),
        ("better", "worse", "is shown, but a moved threshold alone has the better worst group"),
        ("better", "unknown", "a better representation is shown, for"),
        ("open", "better", "more than a moved threshold is shown, but not a better representation"),
        ("open", "open", "nothing beyond a moved threshold is shown"),
        ("open", "worse", ": a moved threshold alone has the better worst group"),
        ("open", "unknown", "a better representation is not shown"),
        ("worse", "better", "more than a moved threshold is shown, but not a better representation"),
        ("worse", "open", "nothing beyond a moved threshold is shown"),
        ("worse", "worse", ": a moved threshold alone has the better worst group"),
        ("worse", "unknown", "a better representation is not shown"),
        ("unknown", "better", "more than a moved threshold is shown, but not a better representation"),
        ("unknown", "open", "nothing beyond a moved threshold is shown"),
        ("unknown", "worse", ": a moved threshold alone has the better worst group"),
        ("unknown", "unknown", ": that is not told, for"),
    ],
)
def test_why_the_worst_group_is_better(ranking: Reading, control: Reading, conclusion: str) -> None:
    told = reason_of(NAMES, "better", ranking, control)
    assert told.startswith("Why it is better than ERM: ")
    assert conclusion in told
    assert "(exploratory)" in told
    # A representation is called better by its ranking alone.
    assert ("a better representation is shown" in told) == (ranking == "better")
    assert ("worse group than" in told or "worse than that of ERM, decided" in told) == (control == "worse")


@pytest.mark.parametrize("gain", ["worse", "open"])
@pytest.mark.parametrize("ranking", SAID)
@pytest.mark.parametrize("control", SAID)
def test_without_a_gain_there_is_nothing_to_explain(
    gain: Reading, ranking: Reading, control: Reading
) -> None:
    told = reason_of(NAMES, gain, ranking, control)
    assert told.startswith("No gain over ERM is shown, and so none explained: ")
    assert "representation" not in told
    assert "moved threshold" not in told


@pytest.mark.parametrize("gain", ["few", "unknown"])
def test_where_nothing_may_be_said_no_reason_is_given(gain: Reading) -> None:
    assert reason_of(NAMES, gain, "better", "better") == ""
    assert reason_of(NAMES, "better", "few", "better") == ""


@pytest.mark.parametrize(
    ("plain", "decided", "both"),
    [
        ("better", "better", "better"),
        ("worse", "worse", "worse"),
        # Tissue varies inside a stratum: a decision by tissue ranks as well.
        ("better", "open", "open"),
        ("better", "worse", "open"),
        ("open", "better", "open"),
        ("better", "unknown", "unknown"),
        ("unknown", "better", "unknown"),
        ("few", "few", "few"),
    ],
)
def test_a_ranking_is_better_where_it_is_better_than_both(
    plain: Reading, decided: Reading, both: Reading
) -> None:
    assert ranking_of(plain, decided) == both


def answered(**skills: tuple[float, float]) -> tuple[str, str, Scoreboard]:
    """Answer and reason at `low`, by method its skill and its shortcut."""
    runs = [
        run_of(name, skill=skill, shortcut=shortcut, seed=10 * place, n_patients=40)
        for place, (name, (skill, shortcut)) in enumerate(skills.items())
    ]
    terms = terms_for(runs)
    (board,) = scoreboards_of(runs, terms)
    return answer(board, terms), why(board, terms), board


def test_a_moved_threshold_is_told_from_a_better_representation() -> None:
    # The same network but for its shortcut, which a decision by tissue takes away as well.
    same, reason, _ = answered(erm=(1.0, 6.0), gerne=(1.0, 0.0))
    assert same == "By its worst group, GERNE is better than ERM (primary)."
    assert "a better representation is shown" not in reason
    better, reason, board = answered(erm=(0.6, 6.0), gerne=(2.0, 0.0))
    assert better == same
    assert "a better representation is shown, and more than a moved threshold" in reason
    assert board.contrasts[0].readings["auroc_within"] == "better"
    alike, reason, _ = answered(erm=(1.0, 0.0), gerne=(1.0, 0.0))
    assert "not shown to differ from ERM (primary)" in alike
    assert reason.startswith("No gain over ERM is shown, and so none explained")


def test_without_the_reference_no_reason_is_given() -> None:
    told, reason, board = answered(gerne=(1.0, 0.0), jtt=(1.0, 0.0))
    assert "jtt" in told
    assert reason == ""
    assert not any(each.primary for each in board.contrasts)


def test_of_a_given_attribute_no_strata_of_tissue_are_told() -> None:
    runs = [
        replace(run, threshold=GIVEN, patches=run.patches.assign(tissue_fraction=math.nan))
        for run in (run_of("erm", shortcut=6.0, n_patients=40), run_of("gerne", skill=1.2, n_patients=40))
    ]
    terms = terms_for(runs, thresholds={})
    (board,) = scoreboards_of(runs, terms)
    assert answer(board, terms) == "By its worst group, GERNE is better than ERM."
    assert why(board, terms) == ""


def test_the_primary_difference_is_read_by_itself_and_others_together() -> None:
    study = study_of(
        {"erm": (1.0, 6.0), "gerne": (1.2, 0.0), "jtt": (1.0, 1.5)}, thresholds={"low": 0.5, "high": 0.6}
    )
    boards = scoreboards_of(study, terms_for(study))
    contrasts = {
        (board.threshold, each.candidate.algorithm, each.reference.algorithm): each
        for board in boards
        for each in board.contrasts
    }
    primary = [place for place, each in contrasts.items() if each.primary]
    assert primary == [("low", "gerne", "erm")]
    others = [each for each in contrasts.values() if not each.primary]
    assert {board.family for board in boards} == {len(others)} == {7}
    for each in others:
        # Told together only what is told alone, and at the first step of the correction if at any.
        assert each.verdict in (each.readings["wga"], "open")
    settings = boards[0].settings
    least = settings.drawn | {"level": first_level(len(others), settings.level)}
    sure = [each for each in others if paired_difference(*each.sums, **least)["wga"].excludes_zero]
    assert all(each.verdict == each.readings["wga"] != "open" for each in sure)
    # Alone in its family, a difference is read as by itself.
    (low,) = [board for board in boards if board.threshold == "low"]
    alone = replace(low, contrasts=(replace(others[0], verdict=others[0].readings["wga"]),))
    (found,) = corrected([alone])
    assert (found.family, found.contrasts[0].verdict) == (1, others[0].readings["wga"])


def test_many_differences_lose_their_verdict_before_the_primary_does() -> None:
    study = study_of({"erm": (1.0, 6.0), "gerne": (1.2, 0.0)}, thresholds={"low": 0.5})
    (board,) = scoreboards_of(study, terms_for(study))
    first = board.contrasts[0]
    assert (first.primary, first.verdict) == (True, "better")
    weak = next(each for each in board.contrasts if each.readings["wga"] == "open")
    crowd = [replace(first, primary=False), *(replace(weak) for _ in range(5000))]
    (found,) = corrected([replace(board, contrasts=(first, *crowd))])
    assert found.family == 5001
    assert [each.verdict for each in found.contrasts[:3]] == ["better", "open", "open"]
    assert found.contrasts[1].readings["wga"] == "better"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"primary": {"candidate": "gerne", "reference": "gerne"}}, "its own reference"),
        ({"primary": {"candidate": "", "reference": "erm"}}, "at least 1 character"),
        ({"primary": {"candidate": "gerne", "reference": "erm", "metric": "average"}}, "wga"),
        ({"primary": {"candidate": "gerne", "reference": "erm", "treshold": "low"}}, "treshold"),
        ({"decided": ["by_attribute"]}, "the control"),
        ({"decided": ["by_tissue", "by_tissue"]}, "each rule once"),
        ({"decided": ["by_tissue", "plain"]}, "by_attribute"),
        ({"minimum_validation_patients": 0}, "greater than 0"),
        ({"names": {"erm": "ERM", "gerne": "GERNE", "gerne_unknown": "GERNE"}}, "several are called GERNE"),
    ],
)
def test_wrong_terms_are_refused(change: dict[str, Any], told: str) -> None:
    settings = terms_for([run_of("erm")]).judging.model_dump()
    wrong = settings | change
    if "primary" in change:
        wrong["primary"] = {"metric": "wga", "threshold": "low"} | change["primary"]
    with pytest.raises(ValidationError, match=told):
        JudgingSettings.model_validate(wrong)
    assert JudgingSettings.model_validate(settings).decided == ("by_tissue",)
