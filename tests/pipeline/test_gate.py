"""The rules of the gate: which evidence promotes, which holds back, and in which words."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from rich.console import Console

from patching.errors import ConfigError
from pipeline.config import Context
from pipeline.deployment.challenger.evidence import Evidence
from pipeline.deployment.challenger.findings import failing, weak
from pipeline.deployment.challenger.record import Judgement, gate_json, gate_table, gate_tags
from pipeline.deployment.challenger.rules import Claim, judge
from pipeline.deployment.challenger.settings import RegisterSettings
from pipeline.tracking.probing import Probe
from pipeline.tracking.registry import Version
from tests.pipeline.challenged import FAIR, GOOD, LOPSIDED, evidence, settings

CANDIDATE = Version("2", "r2", {"evenpatch.run": "gerne-low"})
CHAMPION = Version("1", "r1", {"evenpatch.run": "erm-low"})
CLAIM = Claim("wga 0.700", named=False, approved="")


def beside(context: Context, candidate: Any, champion: Any, **changes: Any) -> Evidence:
    accuracies = {"candidate": candidate, "champion": champion}
    return evidence(context, CANDIDATE, CHAMPION if champion else None, accuracies, **changes)


def judgement(
    found: Evidence, terms: RegisterSettings, *, claim: Claim = CLAIM, forced: bool = False
) -> Judgement:
    at = datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC)
    return Judgement("champion", "low", found, judge(found, terms, claim), terms, claim, forced, at)


def changed(context: Context, **sections: dict[str, Any]) -> RegisterSettings:
    own = settings(context).model_dump()
    merged = {key: own[key] | section for key, section in sections.items()}
    return RegisterSettings.model_validate(own | merged)


def test_a_better_average_with_a_worse_worst_group_is_refused(finished_cohort: Context) -> None:
    found = beside(finished_cohort, LOPSIDED, FAIR)
    assert found.duel.difference is not None
    assert found.duel.difference["average"].estimate > 0.03
    made = judgement(found, settings(finished_cohort))
    (reason, *groups) = made.reasons
    assert reason.startswith("WGA 0.6")
    assert "against the champion's 0.8" in reason
    assert "needs a lower end at least -0.05" in reason
    assert [each.rule for each in failing(made.findings)] == [
        "wga_difference",
        "group_1_difference",
        "group_2_difference",
    ]
    assert all("allowed at most 0.1 lower" in each for each in groups)


def test_a_better_model_passes_and_so_does_one_that_is_as_good(finished_cohort: Context) -> None:
    for candidate in (GOOD, FAIR):
        assert judgement(beside(finished_cohort, candidate, FAIR), settings(finished_cohort)).reasons == ()


def test_superiority_asks_for_more_than_the_margin(finished_cohort: Context) -> None:
    superior = changed(finished_cohort, champion={"wga": "superior", "margin": 0.05})
    assert judgement(beside(finished_cohort, GOOD, FAIR), superior).reasons == ()
    (reason,) = judgement(beside(finished_cohort, (0.85,) * 4, FAIR), superior).reasons
    assert "needs a lower end above 0.05" in reason


def test_a_difference_that_may_be_large_is_not_shown_to_be_small(finished_cohort: Context) -> None:
    found = beside(finished_cohort, FAIR, FAIR)
    assert found.duel.difference is not None
    wide = replace(found.duel.difference["wga"], estimate=-0.02, low=-0.08, high=0.04)
    unsure = replace(found, duel=replace(found.duel, difference={**found.duel.difference, "wga": wide}))
    (reason,) = judgement(unsure, settings(finished_cohort)).reasons
    assert "the difference is -0.020 (-0.080 to +0.040), needs a lower end at least -0.05" in reason


def test_a_group_that_loses_is_named_even_where_the_worst_group_gains(finished_cohort: Context) -> None:
    found = beside(finished_cohort, (0.85, 0.85, 0.85, 0.85), (1.0, 0.8, 0.8, 0.8))
    (reason,) = judgement(found, settings(finished_cohort)).reasons
    assert reason.startswith("accuracy: non-tumor, little tissue -0.1")
    lenient = changed(finished_cohort, champion={"group": None})
    assert judgement(found, lenient).reasons == ()


@pytest.mark.parametrize(("high", "verdict"), [(0.01, "holds"), (0.0, "holds"), (-0.01, "weak")])
def test_a_groups_loss_that_is_shown_is_not_taken_in_silence(
    finished_cohort: Context, high: float, verdict: str
) -> None:
    found = beside(finished_cohort, GOOD, FAIR)
    assert found.duel.difference is not None
    lost = replace(found.duel.difference["group_2"], estimate=-0.05, low=-0.08, high=high)
    worse = replace(found, duel=replace(found.duel, difference={**found.duel.difference, "group_2": lost}))
    made = judgement(worse, settings(finished_cohort))
    assert {each.rule: each.verdict for each in made.findings}["group_2_difference"] == verdict
    if verdict == "weak":
        (reason,) = made.reasons
        assert reason.startswith(
            "accuracy: tumor, little tissue -0.050 (-0.080 to -0.010), a loss that is shown"
        )
        forced = judgement(worse, settings(finished_cohort), forced=True)
        assert gate_tags(forced)["evenpatch.forced"] == reason
    # Gains are no losses, however certain.
    gains = judgement(found, settings(finished_cohort)).findings
    assert not weak(gains)


def test_a_bound_is_met_where_the_difference_is_the_bound(finished_cohort: Context) -> None:
    found = beside(finished_cohort, GOOD, FAIR)
    assert found.duel.difference is not None
    exact = changed(finished_cohort, champion={"margin": 0.0})
    same = replace(found, duel=replace(found.duel, difference={
        key: replace(each, estimate=0.0, low=0.0, high=0.0) for key, each in found.duel.difference.items()
    }))  # fmt: skip
    assert judgement(same, exact).reasons == ()
    superior = changed(finished_cohort, champion={"margin": 0.0, "wga": "superior"})
    assert len(judgement(same, superior).reasons) == 1


@pytest.mark.parametrize(("key", "loss"), [("average", -0.06), ("brier", 0.04)])
def test_average_and_brier_score_have_their_bounds(finished_cohort: Context, key: str, loss: float) -> None:
    found = beside(finished_cohort, GOOD, FAIR)
    assert found.duel.difference is not None
    for estimate, count in ((loss, 1), (-loss, 0), (loss / 2, 0)):
        difference = {**found.duel.difference, key: replace(found.duel.difference[key], estimate=estimate)}
        worse = replace(found, duel=replace(found.duel, difference=difference))
        findings = judgement(worse, settings(finished_cohort)).findings
        assert [each.rule for each in failing(findings)] == [f"{key}_difference"] * count


def test_the_brier_score_is_of_probabilities(finished_cohort: Context) -> None:
    duel = beside(finished_cohort, GOOD, FAIR).duel
    assert duel.candidate["brier"].estimate == pytest.approx(
        0.01 + 0.8 * (1 - duel.candidate["average"].estimate)
    )
    assert duel.difference is not None
    assert duel.difference["brier"].high < 0


def test_the_first_promotion_has_no_champion_to_beat(finished_cohort: Context) -> None:
    made = judgement(beside(finished_cohort, FAIR, None), settings(finished_cohort))
    assert made.reasons == ()
    skipped = [each for each in made.findings if each.verdict == "does not apply"]
    assert {each.reason for each in skipped} == {"there is no champion yet"}
    assert len(skipped) == 8
    record = gate_json(made, "evenpatch-toy")
    assert record["champion"] is None
    assert record["unscored"] == "there is no champion yet"


def test_a_champion_that_cannot_be_scored_is_weak_evidence(finished_cohort: Context) -> None:
    words = "the champion, version 1 (erm-low), is for channels CARS and not CARS, TPEF, SHG"
    found = replace(beside(finished_cohort, FAIR, None), champion=CHAMPION, unscored=words)
    made = judgement(found, settings(finished_cohort))
    assert made.reasons == (f"no comparison: {words}",)
    assert judgement(found, settings(finished_cohort), forced=True).reasons == ()


def test_a_floor_holds_by_the_lower_end_and_is_not_to_be_forced(finished_cohort: Context) -> None:
    found = beside(finished_cohort, FAIR, None)
    low = found.duel.candidate["wga"].low
    for floor, count in ((low - 0.01, 0), (low + 0.01, 1)):
        made = judgement(found, changed(finished_cohort, test={"minimum_low": floor}), forced=True)
        assert len(made.reasons) == count
    assert "begins below" in made.reasons[0]


WEAK = {
    "choice": {"claim": Claim("wga 0.400", named=True, approved="")},
    "validation_patients": {"changes": {"validation_patients_K": (1, 4)}},
    "chance": {"candidate": (0.95, 0.4, 0.95, 0.95)},
    "unseen_by_champion": {"changes": {"seen": {"candidate": "", "champion": "3 of 4 test patients"}}},
}


@pytest.mark.parametrize("rule", WEAK)
def test_weak_evidence_needs_force_and_is_tagged(finished_cohort: Context, rule: str) -> None:
    case = WEAK[rule]
    candidate = case.get("candidate", FAIR)
    found = beside(finished_cohort, candidate, candidate, **case.get("changes", {}))
    claim = case.get("claim", CLAIM)
    made = judgement(found, settings(finished_cohort), claim=claim)
    assert [each.rule for each in weak(made.findings)] == [rule]
    assert len(made.reasons) == 1
    assert gate_tags(made)["evenpatch.gate"] == f"refused: {made.reasons[0]}"
    assert "evenpatch.forced" not in gate_tags(made)
    forced = judgement(found, settings(finished_cohort), claim=claim, forced=True)
    assert forced.reasons == ()
    assert gate_tags(forced)["evenpatch.forced"] == made.reasons[0]


def test_a_small_test_set_is_weak_evidence(finished_cohort: Context) -> None:
    strict = changed(finished_cohort, test={"minimum_patients": 41})
    (reason,) = judgement(beside(finished_cohort, GOOD, FAIR), strict).reasons
    assert reason == "test patients: 40 with tumor, 40 without"


def test_a_model_that_was_rolled_back_is_not_taken_again_by_itself(finished_cohort: Context) -> None:
    found = beside(finished_cohort, GOOD, FAIR)
    taken = replace(CANDIDATE, tags={**CANDIDATE.tags, "evenpatch.rolled_back": "2026-01-01, to version 1"})
    (reason,) = judgement(replace(found, candidate=taken), settings(finished_cohort)).reasons
    assert "was rolled back: 2026-01-01, to version 1" in reason


def test_force_does_not_help_a_candidate_that_knows_the_test_patients(finished_cohort: Context) -> None:
    words = "2 of 4 test patients were in its training or validation"
    found = beside(finished_cohort, GOOD, FAIR, seen={"candidate": words, "champion": ""})
    made = judgement(found, settings(finished_cohort), forced=True)
    assert made.reasons == (f"{words}, and the figures flatter the candidate",)


@pytest.mark.parametrize(
    ("probe", "apart", "rule", "words"),
    [
        (Probe("exit code 1: boom"), float("nan"), "loads", "exit code 1: boom"),
        (Probe("", 0, 0, (0.5,), 0.003, 700.0), 0.0, "loads", "0 answers to the 0 rows"),
        (Probe("", 2, 1, (0.5,), 0.003, 700.0), 0.0, "loads", "1 answers to the 2 rows"),
        (Probe("", 1, 1, (0.5,), 0.003, 700.0), 0.01, "served", "allowed at most 0.001"),
        (Probe("", 1, 1, (0.5,), 1.5, 700.0), 0.0, "latency", "1500 ms, allowed at most 1000 ms"),
        (Probe("", 1, 1, (0.5,), 0.003, 9000.0), 0.0, "memory", "9000 MiB, allowed at most 8192 MiB"),
    ],
)
def test_what_does_not_serve_is_held_back(
    finished_cohort: Context, probe: Probe, apart: float, rule: str, words: str
) -> None:
    found = beside(finished_cohort, GOOD, FAIR, probe=probe, served_apart=apart)
    made = judgement(found, settings(finished_cohort), forced=True)
    assert [each.rule for each in failing(made.findings)] == [rule]
    assert words in made.reasons[0]


def test_approval_is_asked_for_where_the_settings_do(finished_cohort: Context) -> None:
    terms = settings(finished_cohort).model_copy(update={"approval": "required"})
    found = beside(finished_cohort, GOOD, FAIR)
    assert "--approve NAME" in judgement(found, terms).reasons[0]
    made = judgement(found, terms, claim=replace(CLAIM, approved="A. Reader"))
    assert made.reasons == ()
    assert gate_tags(made)["evenpatch.approved_by"] == "A. Reader"
    assert gate_json(made, "m")["approved_by"] == "A. Reader"


def test_an_alias_is_one_that_mlflow_has_and_keeps_its_own_version_before(finished_cohort: Context) -> None:
    own = settings(finished_cohort)
    assert own.under(None) == own.under("champion") == own
    trial = own.under("trial")
    assert (trial.alias, trial.previous) == ("trial", "trial-previous")
    for alias in ("latest", "Latest", "v12", "a b", ""):
        with pytest.raises(ConfigError, match="alias"):
            own.under(alias)
    for alias in ("previous", "trial-previous"):
        with pytest.raises(ConfigError, match="keeps the version before"):
            own.under(alias)
    # Of one alias for both, a rollback would take the champion away.
    with pytest.raises(ValidationError, match="must differ"):
        RegisterSettings.model_validate(own.model_dump() | {"previous": "champion"})


def test_bounds_of_null_are_told_and_hold_nothing(finished_cohort: Context) -> None:
    terms = changed(
        finished_cohort,
        test={"chance": None},
        champion={"group": None, "average": None, "brier": None, "margin": 1.0},
        service={"latency_ms": None, "memory_mib": None},
    )
    made = judgement(beside(finished_cohort, LOPSIDED, GOOD), terms)
    assert made.reasons == ()
    assert sum(each.verdict == "told" for each in made.findings) == 10


def test_the_record_is_json_and_the_table_names_every_rule(finished_cohort: Context) -> None:
    made = judgement(beside(finished_cohort, LOPSIDED, FAIR), settings(finished_cohort))
    record = gate_json(made, "evenpatch-toy")
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["decision"] == "refuse"
    assert record["at"] == "2026-02-03T04:05:06+00:00"
    assert record["candidate"] == {"version": "2", "run": "gerne-low", "mlflow_run_id": "r2"}
    assert set(record["figures"]) == {"candidate", "champion", "difference"}
    assert [set(each) for each in record["rules"]] == [
        {"rule", "asks", "figure", "unit", "bound", "verdict", "reason"}
    ] * len(made.findings)
    text = printed(made)
    for each in made.findings:
        assert each.title in text
    assert "3 ms " in text
    alone = printed(judgement(beside(finished_cohort, GOOD, None), settings(finished_cohort)))
    assert "gerne-low" in alone
    # What there is no champion for is said once, and not of every rule.
    assert alone.count("there is no champion yet") == 1


def printed(made: Judgement) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(gate_table(made))
    return console.export_text()
