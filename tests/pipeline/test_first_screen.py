"""The report's first screen: which sentence stands there in every case, and by which rule."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics.along_attribute import AttributeBins
from models.metrics.intervals import Interval
from patching.errors import ArtifactError
from pipeline.artifacts import Paths
from pipeline.config import Context
from pipeline.deployment.challenger.record import gate_path
from pipeline.look.html import coded
from pipeline.look.words import WORDS
from pipeline.report.opening.alarms import alarms, promised
from pipeline.report.opening.answers import answers
from pipeline.report.opening.care import Care, Span, care_told
from pipeline.report.opening.errors import GroupErrors, axis_of, errors_of, sentence
from pipeline.report.opening.gate import gate_file, gate_result
from pipeline.report.opening.summary import cares_of, evidence_lines, values
from pipeline.report.panels import shortcuts
from pipeline.report.panels.registry import PANELS
from pipeline.report.probabilities import Promise, promises
from pipeline.report.sources import Sources
from pipeline.results.answers import Names, answer, cost, plain_reason_of
from tests.pipeline.reports import sources_of
from tests.pipeline.test_report import another_seed, write_study
from tests.pipeline.test_report import cohort as cohort

WEAK, FINE, UNKNOWN = 0.4, 0.7, math.nan
STATES = {"w": WEAK, "f": FINE, ".": UNKNOWN}


def interval(low: float) -> Interval:
    return Interval(low + 0.1, low, min(low + 0.2, 1), 0.95, 0.0, math.nan)


def care(label: int, states: str) -> Care:
    """Of a label whose ten bins are weak, fine or not judged; the other label's are the other way round."""
    bins = AttributeBins(2)
    other = states.translate(str.maketrans("wf", "fw"))
    both = (states + other) if label == 0 else (other + states)
    return Care.of(label, bins, [interval(STATES[state]) for state in both], 0.5)


@pytest.mark.parametrize(
    ("states", "marked", "unknown"),
    [
        ("wwwwwwffff", [(None, 0.6)], []),
        ("ffffffffww", [(0.8, None)], []),
        ("wwfffffffw", [(None, 0.2), (0.9, None)], []),
        ("fffwwfffff", [(0.3, 0.5)], []),
        ("ffffffffff", [], []),
        ("wwwwwwwwww", [(None, None)], []),
        ("..........", [], [(None, None)]),
        # What was not tested between or beyond weak tenths counts to them; elsewhere it is told apart.
        (".ww.wffff.", [(None, 0.5)], [(0.9, None)]),
        ("...f.fww..", [(0.6, None)], [(None, 0.3), (0.4, 0.5)]),
        ("....w.....", [(None, None)], []),
    ],
)
@pytest.mark.parametrize("label", [0, 1])
def test_ranges_follow_from_the_tenths(
    label: int, states: str, marked: list[Any], unknown: list[Any]
) -> None:
    found = care(label, states)
    assert [(span.low, span.high) for span in found.marked] == marked
    assert [(span.low, span.high) for span in found.unknown] == unknown
    assert (found.judged, found.tenths) == (10 - states.count("."), 10)


def inside(place: int, spans: tuple[Span, ...]) -> int:
    middle = (place + 0.5) / 10
    return sum((span.low or 0) < middle < (1 if span.high is None else span.high) for span in spans)


@given(st.text("wf.", min_size=10, max_size=10))
def test_every_weak_tenth_is_in_one_range_and_no_fine_one(states: str) -> None:
    found = care(1, states)
    for place, state in enumerate(states):
        times = inside(place, found.marked)
        assert times == (1 if state == "w" else 0 if state == "f" else times) <= 1
        assert inside(place, found.unknown) == (1 if state == "." and not times else 0)


MISS = "(it may miss over half of the tumor patches)"
ALARM = "(over half of the non-tumor patches may be false alarms)"
SHOWN = "the test patients show an accuracy of 50 % or more."
CARE = "Use with care where a patch holds"


@pytest.mark.parametrize(
    ("tumor", "normal", "told"),
    [
        ("wwwwwwffff", "ffffffffff", f"{CARE} under 60 % tissue {MISS}."),
        ("wwffffffff", "ffffffffww", f"{CARE} under 20 % tissue {MISS} or 80 % tissue or more {ALARM}."),
        (
            "wfffffffff",
            "wfffffffff",
            f"{CARE} under 10 % tissue {MISS[:-1]}, and {ALARM[1:]}.",
        ),
        (
            "ffffffffff",
            ".fffffffff",
            (
                f"No range of tissue is marked for care: wherever it could be judged, {SHOWN} "
                "Too few test patches to say: non-tumor patches with under 10 % tissue."
            ),
        ),
        (
            "ww........",
            "..........",
            (
                "Use with care whatever the tissue: in no tenth of the tissue fraction that could be judged "
                f"do {SHOWN} Too few test patches to say: non-tumor patches with any tissue."
            ),
        ),
        (
            "..........",
            "..........",
            "In which ranges of tissue it is weak cannot be said: too few test patches.",
        ),
    ],
)
def test_where_to_take_care_is_told_in_every_case(tumor: str, normal: str, told: str) -> None:
    assert " ".join(care_told((care(1, tumor), care(0, normal)), 0.5)) == told


def test_what_a_marked_range_leaves_open_follows_from_the_bound() -> None:
    (told,) = care_told((care(1, "wfffffffff"), care(0, "fffffffffw")), 0.6)
    assert told == (
        f"{CARE} under 10 % tissue (it may miss over 40 of 100 tumor patches) or 90 % tissue or more "
        "(over 40 of 100 non-tumor patches may be false alarms)."
    )


@pytest.mark.parametrize(("below", "marked"), [(0.3, []), (0.31, [(0.4, 0.5)]), (0.71, [(None, None)])])
def test_the_bound_decides(below: float, marked: list[Any]) -> None:
    lows = [0.9] * 10 + [0.7] * 4 + [0.3] + [0.7] * 5
    found = Care.of(1, AttributeBins(2), [interval(low) for low in lows], below)
    assert [(span.low, span.high) for span in found.marked] == marked
    assert not Care.of(0, AttributeBins(2), [interval(low) for low in lows], below).marked


def test_tenths_are_those_of_the_figures(sources: Sources) -> None:
    assert sources.subject is not None
    tumor, normal = cares_of(sources.subject, 0.5)
    own = [math.isfinite(each.low) for each in sources.subject.method.bins]
    assert (tumor.label, tumor.judged) == (1, sum(own[10:]))
    assert (normal.label, normal.judged) == (0, sum(own[:10]))


def errors(
    label: int, attribute: str, share: tuple[float, float, float], *, worst: bool = False
) -> GroupErrors:
    name = f"{'tumor' if label else 'non-tumor'} patches with {attribute}"
    found = Interval(*share, 0.95, 0.0, math.nan)
    return GroupErrors(name, attribute.split(" (")[0], "", label, found, "", worst, patches=7, patients=1)


LITTLE, MUCH = "little tissue (up to 45.5 %)", "much tissue (over 45.5 %)"
NONE = (math.nan, math.nan, math.nan)
MISSED, FOUND = errors(1, LITTLE, (0.12, 0.03, 0.378)), errors(1, MUCH, (0.106, 0.05, 0.211))
ALARMED, SPARED = errors(0, LITTLE, (0.249, 0.178, 0.335)), errors(0, MUCH, (0.182, 0.093, 0.328))


def worst(group: GroupErrors) -> GroupErrors:
    return replace(group, worst=True)


def unknown(group: GroupErrors) -> GroupErrors:
    return replace(group, share=replace(group.share, estimate=math.nan, low=math.nan, high=math.nan))


def test_the_first_sentence_says_how_far_the_other_intervals_reach_and_what_is_missed() -> None:
    assert sentence([MISSED, FOUND, worst(ALARMED), SPARED]) == (
        "Of 100 non-tumor patches with little tissue (up to 45.5 %) it raises a false alarm in 25 (18 to "
        "34); in the other groups it errs in 11 to 18 of 100 (intervals reach 38). Of 100 tumor patches it "
        "misses 12 (3 to 38) with little tissue and 11 (5 to 21) with much."
    )
    assert sentence([worst(MISSED), FOUND, ALARMED, SPARED]) == (
        "Of 100 tumor patches with little tissue (up to 45.5 %) it misses 12 (3 to 38); in the other groups "
        "it errs in 11 to 25 of 100 (intervals reach 34)."
    )


def test_groups_that_are_not_estimable_are_named_and_not_counted() -> None:
    few = "(7 patches of 1 test patient)"
    assert sentence([unknown(MISSED), FOUND, worst(ALARMED), SPARED]).endswith(
        "; in the other groups that can be judged it errs in 11 to 18 of 100 (intervals reach 33). Of 100 "
        "tumor patches it misses 11 (5 to 21) with much tissue. Not known, too few: tumor patches with "
        f"little tissue (up to 45.5 %) {few}."
    )
    assert sentence([unknown(MISSED), unknown(FOUND), worst(ALARMED), SPARED]).startswith(
        "Of 100 non-tumor patches with little tissue (up to 45.5 %) it raises a false alarm in 25 (18 to "
        "34); in the other group that can be judged it errs in 18 of 100 (9 to 33). How much tumor it "
        "misses cannot be said. Not known, too few: tumor patches with little tissue"
    )
    assert "No other group can be judged. Not known" in sentence([worst(MISSED), unknown(SPARED)])
    assert sentence([unknown(MISSED)]).startswith("How often it errs cannot be said")


def test_no_error_and_equal_errors_have_words_of_their_own() -> None:
    missed = errors(1, LITTLE, (0.003, 0.0, 0.08), worst=True)
    right, wide = errors(0, LITTLE, (0.0, 0.0, 0.1)), errors(0, MUCH, (0.0, 0.0, 0.6))
    assert "misses under 1 (0 to 8); in the other group it errs in none of 100 (0 to 10)." in sentence(
        [missed, right]
    )
    assert "it errs in none of 100 (intervals reach 60)." in sentence([missed, wide, right])
    alike = [worst(MISSED), errors(1, MUCH, (0.051, 0.01, 0.09)), errors(0, MUCH, (0.049, 0.02, 0.2))]
    assert "it errs in 5 of 100 (intervals reach 20)." in sentence(alike)


@pytest.mark.parametrize(("high", "end"), [(0.2, 25), (0.25, 25), (0.26, 50), (0.51, 100)])
def test_the_axis_holds_every_interval(high: float, end: int) -> None:
    assert axis_of([errors(1, LITTLE, (0.1, 0.05, high)), errors(0, LITTLE, NONE)]) == end


def test_figures_are_those_of_the_group_table(sources: Sources) -> None:
    subject = sources.subject
    assert subject is not None
    found = errors_of(subject)
    table = subject.run.patches
    assert [each.label for each in found] == [1, 1, 0, 0]
    for each, number in zip(found, (2, 3, 0, 1), strict=True):
        part = table[table["group"] == number]
        assert each.share.estimate == pytest.approx((part["prediction"] != part["label"]).mean())
        accuracy = subject.method.groups[number]
        assert (each.share.low, each.share.high) == (1 - accuracy.high, 1 - accuracy.low)
        value = f"{100 * sources.evidence.threshold_value('low'):.3g} %"
        assert value in each.name
    assert [each.worst for each in found].count(True) >= 1


def test_what_an_interval_holds_is_told(cohort: Context, sources: Sources) -> None:
    assert sources.subject is not None
    lines = dict(evidence_lines(sources, sources.subject))
    assert lines["Model"].endswith(
        "One training: intervals cover chance in which patients were tested, not a retraining."
    )
    assert lines["Before use"].startswith("All test patients are of this cohort")
    slides = sources.subject.run.patches["slide_id"].nunique()
    board = sources.subject.board
    assert lines["Test patients"].startswith(
        f"{board.patients}, with {board.patches:,} patches of {slides} slides."
    )
    assert ("Of these" in lines["Test patients"]) == (min(board.patients_K) < board.patients)
    lacking = replace(sources.subject, board=replace(board, patients_K=(board.patients, 1)))
    assert "slides. Of these 1 with tumor patches." in dict(evidence_lines(sources, lacking))["Test patients"]
    assert "No study" in lines["Division of patients"]
    assert "Under 10 in" in lines["Test patients"]
    another_seed(cohort, "gerne-low", 7)
    write_study(cohort)
    found = sources_of(cohort)
    assert found.subject is not None
    lines = dict(evidence_lines(found, found.subject))
    assert " 2 trainings: intervals cover chance in which patients were tested, and in" in lines["Model"]
    assert "one degree of freedom" in lines["Model"]
    assert "a study of 2 repeats with 16 patients" in lines["Division of patients"]
    assert "err in the worst group in 0 of 100" in lines["Division of patients"]


def gate_record(**changes: Any) -> dict[str, Any]:
    record = {
        "alias": "champion",
        "decision": "promote",
        "reasons": [],
        "forced": "",
        "candidate": {"run": "gerne-low", "version": "3", "mlflow_run_id": "x"},
        "threshold": "low",
        "test": {"patients": 4},
        "figures": {"candidate": {"wga": {"estimate": 0.75}}},
    }
    return record | changes


@pytest.mark.parametrize(
    ("record", "word", "passed", "why"),
    [
        (None, "not asked yet", None, "--dry-run"),
        (gate_record(), "passed, as “champion”", True, ""),
        (
            gate_record(forced="few patients"),
            "passed, as “champion”",
            True,
            "accepted by --force: few patients",
        ),
        (
            gate_record(decision="refuse", reasons=["WGA is low", "it is slow"]),
            "refused",
            False,
            "WGA is low. It",
        ),
        (
            gate_record(candidate={"run": "erm-low"}),
            "not asked of this model",
            None,
            "is of erm-low, the report",
        ),
        (gate_record(test={"patients": 5}), "not asked of this model", None, "another version of gerne-low"),
        (
            gate_record(figures={"candidate": {"wga": {"estimate": "not estimable"}}}),
            "not asked of this model",
            None,
            "another version of gerne-low",
        ),
        (
            gate_record(figures={"candidate": {"wga": {"estimate": 0.7}}}),
            "not asked of this model",
            None,
            "another version of gerne-low",
        ),
    ],
)
def test_the_gate_is_told_only_of_this_model(
    tmp_path: Path, record: dict[str, Any] | None, word: str, passed: bool | None, why: str
) -> None:
    paths = Paths(tmp_path, "toy")
    assert gate_file(paths) == gate_path(paths)
    if record is not None:
        gate_file(paths).parent.mkdir(parents=True)
        gate_file(paths).write_text(json.dumps(record))
    found = gate_result(paths, "gerne-low", 0.7501, 4)
    assert (found.word, found.passed) == (word, passed)
    assert why in " ".join(found.reasons)


def test_a_damaged_judgement_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    paths = Paths(tmp_path, "toy")
    gate_file(paths).parent.mkdir(parents=True)
    gate_file(paths).write_text("{}")
    with pytest.raises(ArtifactError, match="without alias"):
        gate_result(paths, "gerne-low", 0.75, 4)


def test_the_picture_is_told_with_its_numbers(sources: Sources) -> None:
    found = values(sources)
    assert found["picture"].count(" of 100 (") == 4
    assert found["gate"].word == "not asked yet"


def test_code_in_sentences_is_escaped() -> None:
    assert coded("a <b> `x < y` c") == "a &lt;b&gt; <code>x &lt; y</code> c"


def told(sources: Sources) -> dict[str, str]:
    return {each.question: each.words for each in answers(sources)}


def test_what_a_reader_asks_first_is_answered_with_the_way_to_its_panel(sources: Sources) -> None:
    found = answers(sources)
    words = {each.question: each.words for each in found}
    area = f"Not tested: `evenpatch intervene --cohort {sources.evidence.paths.cohort}` does."
    assert words["By tissue area?"] == area
    assert words["Better than what?"].startswith(answer(sources.subject.board, sources.terms))
    assert {each.panel for each in found} <= {panel.name for panel in PANELS}
    assert all("".join(text for text, _ in each.parts) == each.words for each in found)
    explained = [word for each in found for _, word in each.parts if word]
    assert {"gerne", "erm"} <= set(explained) <= set(WORDS)
    assert len(explained) == len(set(explained))
    assert answers(replace(sources, boards={})) == []


def wrong_where(sources: Sources, wrong: Callable[[pd.DataFrame], pd.Series]) -> Sources:
    """The same with other predictions of the shown training."""
    subject = sources.subject
    assert subject is not None
    rows = subject.run.patches
    own = rows.assign(prediction=rows["label"].where(~wrong(rows), 1 - rows["label"]))
    found = replace(sources)
    vars(found)["subject"] = replace(subject, run=replace(subject.run, patches=own))
    return found


def test_errors_are_called_concentrated_only_where_they_are(sources: Sources) -> None:
    first = sources.subject.run.patches["patient_id"].iloc[0]
    one = told(wrong_where(sources, lambda rows: rows["patient_id"] == first))["On which slides?"]
    assert "1 of 4 test patients carries half of the" in one
    every = told(wrong_where(sources, lambda rows: rows["label"] == rows["label"]))["On which slides?"]
    rows = sources.subject.run.patches
    assert every.startswith(
        f"The {len(rows):,} errors are spread over patients as their patches are. The most"
    )
    assert "100 %; of all test patches 100 %)" in every
    none = told(wrong_where(sources, lambda rows: rows["label"] > 1))["On which slides?"]
    assert none == "No test patch is classified wrongly."


def test_the_slide_of_most_misses_is_named_beside_that_of_most_errors(sources: Sources) -> None:
    rows = sources.subject.run.patches
    mixed = rows.groupby("slide_id")["label"].nunique() > 1
    one, other = mixed[mixed].index[:2]
    found = wrong_where(
        sources,
        lambda rows: (
            ((rows["slide_id"] == one) & (rows["label"] == 0))
            | ((rows["slide_id"] == other) & (rows["label"] == 1) & (rows.groupby("slide_id").cumcount() < 9))
        ),
    )
    own = found.subject.run.patches
    wrong = own[own["label"] != own["prediction"]]
    missed = int((wrong["slide_id"] == other).sum())
    assert 0 < missed < (wrong["slide_id"] == one).sum()
    words = told(found)["On which slides?"]
    assert f"slide {one}: " in words
    assert words.endswith(f"; the most missed tumor is on {other} ({missed}).")
    only = told(wrong_where(sources, lambda rows: rows["slide_id"] == one))["On which slides?"]
    assert "the most missed tumor" not in only


NAMES = Names("GERNE", "ERM", "ERM, decided by tissue")
RANKS = "among patches of like tissue (AUROC within strata)"
MOVED = "ERM with a tissue-dependent threshold"
SURPASSED = f"and its worst group is better than that of {MOVED}, too."
BEATEN = f"and {MOVED} does better in the worst group."


@pytest.mark.parametrize(
    ("gain", "ranking", "control", "words"),
    [
        (
            "better",
            "better",
            "open",
            f"It ranks tumor better than ERM {RANKS}, but {MOVED} may do as well in the worst group.",
        ),
        (
            "better",
            "better",
            "better",
            f"It ranks tumor better than ERM {RANKS}, {SURPASSED}",
        ),
        (
            "open",
            "open",
            "worse",
            f"It is not shown to rank tumor better than ERM {RANKS}, {BEATEN}",
        ),
        (
            "better",
            "unknown",
            "better",
            f"How it ranks tumor among patches of like tissue is not estimable, {SURPASSED}",
        ),
        ("few", "few", "few", ""),
        ("unknown", "better", "open", ""),
    ],
)
def test_what_the_gain_is_is_said_in_plain_words(gain: Any, ranking: Any, control: Any, words: str) -> None:
    assert plain_reason_of(NAMES, gain, ranking, control) == words


@pytest.mark.parametrize(
    ("low", "high", "reading", "words"),
    [
        (-0.08, -0.04, "worse", "Its average accuracy is 6 points lower than that of ERM (4 to 8)."),
        (0.03, 0.09, "better", "Its average accuracy is 6 points higher than that of ERM (3 to 9)."),
        (-0.02, 0.04, "open", ""),
        (math.nan, math.nan, "unknown", ""),
    ],
)
def test_a_difference_of_average_accuracy_is_told_where_it_is_shown(
    sources: Sources, low: float, high: float, reading: Any, words: str
) -> None:
    board = sources.subject.board
    figure = Interval((low + high) / 2, low, high, 0.95, 0.0, math.nan)
    contrasts = tuple(
        replace(
            each,
            figures={**each.figures, "average": figure},
            readings={**each.readings, "average": reading if each.reference.algorithm == "erm" else "better"},
        )
        for each in board.contrasts
    )
    assert cost(replace(board, contrasts=contrasts), sources.terms) == words


def test_a_model_that_no_network_is_behind_is_told_where_the_network_does_not_lie_above_it(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = sources.subject.method.figures["wga"]
    assert "Without a network?" not in told(sources)
    for estimate, there in ((own.low - 0.01, False), (own.low, True), (own.high + 0.2, True)):
        linear = {"estimate": estimate, "low": 0.234, "high": 0.876}
        monkeypatch.setattr(shortcuts, "linear_of", lambda *_, linear=linear: linear)
        assert ("Without a network?" in told(sources)) == there
    assert "in its worst group (23 to 88, in other folds)" in told(sources)["Without a network?"]


def test_what_an_alarm_is_worth_is_that_of_the_panel(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = sources.subject
    little, much = (part for part in subject.parts if part.kind == "attribute")
    known = [part for part in (little, much) if math.isfinite(part.figures["ppv"].low)]
    words = told(sources)["Alarms and probabilities"]
    for part in known:
        assert f"{100 * part.figures['ppv'].estimate:.0f} ({100 * part.figures['ppv'].low:.0f} to " in words
    assert words.startswith("Of 100 alarms " if known else "What an alarm is worth cannot be said")
    monkeypatch.setattr("pipeline.report.opening.alarms.own_benefits", lambda *_: (0.3, -0.196, math.nan))
    assert alarms(subject, 0.5).endswith("Net benefit with little tissue: −0.20, worse than no model.")
    assert alarms(subject, 0.5).count("Net benefit") == 1
    assert alarms(replace(subject, method=replace(subject.method, operating=())), 0.5) == ""
    none = tuple(
        replace(part, figures={"ppv": Interval(*NONE, 0.95, 0.0, math.nan)}) for part in (little, much)
    )
    vars(subject)["parts"], kept = (subject.parts[0], *none), subject.parts
    assert alarms(subject, 0.5).startswith("What an alarm is worth cannot be said: too few test patches.")
    vars(subject)["parts"] = kept


def test_probabilities_are_no_probabilities_only_where_they_are_clearly_apart() -> None:
    names = ("little tissue", "much tissue")
    few = Promise("", math.nan, math.nan, broken=False)
    off, fine = Promise("", 0.36, 0.05, broken=True), Promise("", 0.8, 0.82, broken=False)
    over = Promise("", 0.71, 0.82, broken=True)
    assert promised([off, over], names) == "Predicted are 36 and 71 %: not to be read as probabilities."
    assert promised([off, fine], names) == (
        "With little tissue 36 % are predicted where 5 % are: not to be read as probabilities."
    )
    assert promised([few, over], names).startswith("With much tissue 71 % are predicted where 82 % are")
    assert promised([fine, few], names) == ""


def test_a_promise_is_broken_beyond_five_points_and_beyond_chance(sources: Sources) -> None:
    subject = sources.subject
    for each, part, own in zip(promises(subject), subject.parts, subject.by_value.values(), strict=False):
        if math.isfinite(each.predicted):
            apart = abs(own["probability"].mean() - own["label"].mean())
            assert each.broken == (apart > max(0.05, part.calibration.by_chance))
        else:
            assert not each.broken
