"""Methods decided by a rule: fitted on validation alone, named, compared, and told where they cannot be."""

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from models.data.attributes import LAYOUT
from models.networks.card import DecisionCard
from models.networks.decision import told as told_by
from patching.errors import ConfigError
from pipeline.results.decided import with_decided
from pipeline.results.figures import Scoreboard
from pipeline.results.scoreboards import scoreboards_of
from pipeline.results.seeds import pools_of
from pipeline.results.tested import base_of, decided_name, rule_of
from pipeline.tables.differences import beside_block, difference_blocks
from pipeline.tables.dots import decided_plot, dot_plot
from pipeline.tables.record import record_of
from tests.pipeline.simulated import ABOVE, Run, run_of, study_of, terms_for

METHODS = {"erm": (1.0, 6.0), "gerne": (1.2, 0.0)}
THRESHOLDS = {"low": ABOVE, "high": 0.7, "fixed": 0.3}


@pytest.fixture(scope="module")
def split() -> list[Run]:
    return [run_of("erm", shortcut=6.0), run_of("gerne", skill=1.2)]


@pytest.fixture(scope="module")
def study() -> list[Run]:
    return study_of(METHODS, thresholds=THRESHOLDS)


def board_of(tested: list[Run]) -> Scoreboard:
    (board,) = scoreboards_of(tested, terms_for(tested))
    return board


def wga(board: Scoreboard) -> dict[str, float]:
    return {each.algorithm: each.figures["wga"].estimate for each in board.methods}


def test_a_shortcut_is_mended_by_a_decision_that_knows_the_tissue(split: list[Run]) -> None:
    found = wga(board_of(split))
    assert list(found) == ["erm", "erm+by_tissue", "gerne", "gerne+by_tissue"]
    assert found["erm"] < 0.5
    assert found["erm+by_tissue"] > found["erm"] + 0.25
    # Without a shortcut there is nothing to mend.
    assert abs(found["gerne+by_tissue"] - found["gerne"]) < 0.1


def test_the_rule_is_fitted_on_validation_alone(split: list[Run]) -> None:
    terms = terms_for(split)

    def of(run: Run) -> pd.DataFrame:
        (found,) = [one for one in with_decided([run], terms)[0] if rule_of(one.algorithm)]
        return found.patches

    erm = split[0]
    wrong = erm.patches.assign(label=1 - erm.patches["label"], group=3 - erm.patches["group"])
    # Not one test label has a say; a validation label has.
    assert of(replace(erm, patches=wrong))["probability"].equals(of(erm)["probability"])
    other = erm.validation.assign(logit=erm.validation["logit"] + 1)
    assert not of(replace(erm, validation=other))["probability"].equals(of(erm)["probability"])


def test_a_study_fits_a_rule_for_every_fold_of_its_own_patches(study: list[Run]) -> None:
    run = next(one for one in study if (one.algorithm, one.threshold, one.seed) == ("erm", "low", 1))
    tested, remarks = with_decided([run], terms_for([run]))
    decided = tested[1].patches
    assert tested[1].algorithm == "erm+by_tissue"
    assert decided["patch_id"].tolist() == run.patches["patch_id"].tolist()
    # Another validation patient of fold 0 changes what is said of fold 0, and nothing else.
    moved = run.validation["fold"] == 0
    shifted = run.validation.assign(logit=run.validation["logit"] + 2 * moved)
    other = with_decided([replace(run, validation=shifted)], terms_for([run]))[0][1].patches
    changed = (other["probability"] - decided["probability"]).abs() > 1e-9
    assert set(decided.loc[changed, "fold"]) == {0}
    assert changed[decided["fold"] == 0].all()
    assert not any("not estimable" in each or "left out" in each for each in remarks)


def test_a_fold_that_does_not_carry_the_rule_costs_its_repeat_and_is_told(study: list[Run]) -> None:
    low = [one for one in study if one.threshold == "low"]
    lacking = (low[0].validation["group"] == 1) & (low[0].validation["fold"] == 1)
    first = replace(low[0], validation=low[0].validation[~lacking])
    assert (first.algorithm, first.seed) == ("erm", 0)
    (board,) = scoreboards_of([first, *low[1:]], terms_for(low))
    pools = {each.algorithm: each.pool.seeds for each in board.methods}
    assert pools == {"erm": (0, 1), "erm+by_tissue": (1,), "gerne": (0, 1), "gerne+by_tissue": (0, 1)}
    (remark,) = [each for each in board.remarks if each.startswith("ERM, decided by tissue")]
    assert "1 of 2 runs are left out" in remark
    assert "repeat 0 of the study of fold 1" in remark
    # What is set against it is the same repeat alone.
    contrast = next(each for each in board.contrasts if each.reference.algorithm == "erm+by_tissue")
    own = next(one for one in low if (one.algorithm, one.seed) == ("gerne", 1)).patches
    lowest = (own["prediction"] == own["label"]).groupby(own["group"]).mean().min()
    control = next(each for each in board.methods if each.algorithm == "erm+by_tissue")
    expected = lowest - control.figures["wga"].estimate
    assert contrast.figures["wga"].estimate == pytest.approx(expected)
    assert any("over the repeats that both methods have" in each for each in board.remarks)


def test_rules_that_no_repeat_has_both_of_are_not_compared(study: list[Run]) -> None:
    """GERNE is decided in one repeat, ERM in the other: there is nothing to pair."""
    low = [one for one in study if one.threshold == "low"]
    lacking = {("erm", 0), ("gerne", 1)}
    changed = [
        replace(one, validation=one.validation[one.validation["group"] != 1])
        if (one.algorithm, one.seed) in lacking
        else one
        for one in low
    ]
    board = board_of(changed)
    pools = {each.algorithm: each.pool.seeds for each in board.methods}
    assert (pools["erm+by_tissue"], pools["gerne+by_tissue"]) == ((1,), (0,))
    found = [(each.candidate.algorithm, each.reference.algorithm) for each in board.contrasts]
    assert found == [("gerne", "erm"), ("gerne", "erm+by_tissue")]
    sentence = "GERNE, decided by tissue − ERM, decided by tissue: not estimable, for no repeat has both."
    assert sentence in board.absent
    assert not any("no repeat has both" in each for each in board_of(low).absent)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda run: replace(run, patches=run.patches.drop(columns="logit")), "without log-odds"),
        (lambda run: replace(run, validation=pd.DataFrame()), "no predictions of validation patches"),
        (lambda run: replace(run, validation=run.validation.assign(logit=np.nan)), "without log-odds"),
        (
            lambda run: replace(run, patches=run.patches.assign(tissue_fraction=np.nan)),
            "patches without a tissue fraction",
        ),
        (lambda run: replace(run, validation=run.validation[run.validation["group"] != 2]), "needs"),
    ],
)
def test_what_cannot_be_decided_is_left_out_with_the_reason(
    split: list[Run], change: object, reason: str
) -> None:
    changed = [change(run) for run in split]  # type: ignore[operator]
    board = board_of(changed)
    assert [each.algorithm for each in board.methods] == ["erm", "gerne"]
    remarks = [each for each in board.remarks if "decided by tissue" in each]
    assert all(reason in each for each in remarks)
    told = " ".join(remarks)
    assert "ERM, decided by tissue" in told
    assert "GERNE, decided by tissue" in told
    assert told.count("not estimable (") == len(remarks)
    assert "GERNE − ERM, decided by tissue: ERM, decided by tissue is not estimable." in board.absent


def test_without_a_value_of_the_threshold_nothing_is_decided(split: list[Run]) -> None:
    (board,) = scoreboards_of(split, terms_for(split, thresholds={}))
    assert any("a threshold whose value is not recorded" in each for each in board.remarks)
    assert board.above is None
    assert board.told_threshold == "Threshold “low”"


def test_few_validation_patients_are_warned_of(split: list[Run]) -> None:
    first = split[0].validation["patient_id"].unique()[:2]
    few = [replace(run, validation=run.validation[run.validation["patient_id"].isin(first)]) for run in split]
    board = board_of(few)
    assert any("as few as" in each and "validation patients of a group" in each for each in board.remarks)
    assert not any("as few as" in each for each in board_of(split).remarks)
    (strict,) = scoreboards_of(few, terms_for(few, minimum_validation_patients=5))
    assert [each.algorithm for each in strict.methods] == ["erm", "gerne"]


@pytest.mark.parametrize("rules", [("by_tissue",), ("by_tissue", "by_attribute", "threshold")])
def test_every_asked_rule_is_shown_after_its_method(split: list[Run], rules: tuple[str, ...]) -> None:
    (board,) = scoreboards_of(split, terms_for(split, decided=rules))
    names = [each.algorithm for each in board.methods]
    assert names == [
        name for each in ("erm", "gerne") for name in (each, *sorted(decided_name(each, r) for r in rules))
    ]
    assert len({each.name for each in board.methods}) == len(names)


def test_a_model_that_decides_by_a_rule_is_shown_plainly_and_as_its_card_says(split: list[Run]) -> None:
    card = DecisionCard(rule="by_tissue", offsets=(5.0, 5.0), knots=(0.2, 0.8))
    board = board_of([split[0], replace(split[1], decision=card)])
    by_name = {each.algorithm: each for each in board.methods}
    own = by_name["gerne+by_tissue"].pool.rows
    expected = told_by(card, own["logit"], own["tissue_fraction"])[1]
    assert own["prediction"].tolist() == expected.tolist()
    assert own["prediction"].mean() > 0.9  # as only this card decides
    assert by_name["gerne"].pool.rows["prediction"].equals(split[1].patches["prediction"])
    assert "GERNE, decided by tissue: the rule is that of the model’s own card." in board.remarks
    # A moved operating threshold is no rule, and is named all the same.
    moved = board_of([replace(split[1], decision=DecisionCard(threshold=0.9))])
    assert [each.name for each in moved.methods] == [
        "GERNE",
        "GERNE, decided by tissue",
        "GERNE, as its card decides",
    ]


def test_a_card_decides_for_its_own_seed_alone(split: list[Run]) -> None:
    card = DecisionCard(rule="by_tissue", offsets=(5.0, 5.0), knots=(0.2, 0.8))
    board = board_of([*split, replace(run_of("gerne", skill=1.2, seed=1), decision=card)])
    pools = {each.algorithm: each.pool for each in board.methods}
    assert pools["gerne+by_tissue"].seeds == (0, 1)
    fitted, own = (run.patches["prediction"].mean() for run in pools["gerne+by_tissue"].runs)
    assert fitted < 0.7 < own
    told = "GERNE, decided by tissue: the rule is that of the model’s own card in 1 of 2 runs."
    assert told in board.remarks


def test_the_candidate_is_set_against_the_control_plainly_and_decided_alike(split: list[Run]) -> None:
    def pairs(*references: str) -> list[tuple[str, str]]:
        (board,) = scoreboards_of(split, terms_for(split, references=references or None))
        return [(each.candidate.algorithm, each.reference.algorithm) for each in board.contrasts]

    control = [("gerne", "erm+by_tissue"), ("gerne+by_tissue", "erm+by_tissue")]
    assert pairs() == [("gerne", "erm"), *control]
    assert pairs("jtt") == control
    swapped = terms_for(split, candidate="erm")
    (board,) = scoreboards_of(split, swapped)
    found = [(each.candidate.algorithm, each.reference.algorithm) for each in board.contrasts]
    assert found == [("erm", "gerne"), ("erm", "erm+by_tissue")]


def test_other_decisions_of_the_reference_stand_beside_the_family(split: list[Run]) -> None:
    tested = [*split, run_of("jtt", skill=0.9, shortcut=1.5)]
    (alone,) = scoreboards_of(tested, terms_for(tested))
    rules = ("by_tissue", "by_attribute", "threshold")
    (board,) = scoreboards_of(tested, terms_for(tested, decided=rules))
    pairs = [(each.candidate.algorithm, each.reference.algorithm) for each in board.beside]
    assert pairs == [("gerne", "erm+by_attribute"), ("gerne", "erm+threshold")]
    assert alone.beside == ()
    # The family was fixed before them: not one verdict changes with them.
    assert board.family == alone.family == 3
    verdicts = [
        [(each.reference.algorithm, each.verdict, each.figures["wga"]) for each in found.contrasts]
        for found in (board, alone)
    ]
    assert verdicts[0] == verdicts[1]
    estimates = wga(board)
    for each in board.beside:
        expected = estimates["gerne"] - estimates[each.reference.algorithm]
        assert each.figures["wga"].estimate == pytest.approx(expected)
    judged = difference_blocks(board)[0]
    assert [(row.name, row.cells[-1].lines[0]) for row in judged.rows if "attribute" in row.name] == [
        ("GERNE − ERM, decided by attribute", "exploratory")
    ]
    assert "corrected (Holm) for 3 differences" in judged.explanation
    assert "but the primary one and exploratory ones" in judged.explanation
    alike = beside_block(board)
    assert [row.name for row in alike.rows] == [row.name for row in judged.rows[-2:]]
    assert [row.cells[:2] for row in alike.rows] == [row.cells[:2] for row in judged.rows[-2:]]
    assert {len(row.cells) + 1 for row in alike.rows} == {len(alike.head)} == {len(alike.short)}
    assert "exploratory ones" not in difference_blocks(alone)[0].explanation
    (section,) = record_of("toy", [board])["sections"]
    assert [each["reference"] for each in section["exploratory"]] == ["erm+by_attribute", "erm+threshold"]
    assert all(each["figures"]["wga"]["exploratory"] for each in section["exploratory"])
    assert not any("verdict" in each for each in section["exploratory"])
    assert not any(each["figures"]["wga"]["exploratory"] for each in section["differences"])


def test_a_bar_tells_how_far_the_figures_are(split: list[Run]) -> None:
    shown = Console(file=io.StringIO(), force_terminal=True, width=90)
    told = scoreboards_of(split, terms_for(split), console=shown)
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "rules at low" in text
    assert "figures at low" in text
    assert [each.figures for each in told[0].contrasts] == [
        each.figures for each in board_of(split).contrasts
    ]


def test_three_thresholds_say_their_values(study: list[Run]) -> None:
    terms = terms_for(study, thresholds=dict.fromkeys(THRESHOLDS, 0.123))
    boards = {board.threshold: board for board in scoreboards_of(study, terms)}
    # Of a study, as its folds recorded them.
    for name, value in THRESHOLDS.items():
        assert boards[name].above == (value, value)
        assert boards[name].sizes[2].title == f"tumor, little tissue (up to {value:g})"
        assert boards[name].sizes[2].name == "tumor, little tissue"
        assert boards[name].told_threshold == f"Threshold “{name}” (tissue fraction {value:g})"
    spread = [replace(one, above={0: 0.4567, 1: 0.5123}) for one in study if one.threshold == "low"]
    (board,) = scoreboards_of(spread, terms)
    assert (board.value, board.told_value) == (None, "0.457–0.512")


def test_plain_and_decided_are_drawn_for_every_method_and_threshold(study: list[Run]) -> None:
    boards = scoreboards_of(study, terms_for(study))
    names = {each.algorithm: each.name for board in boards for each in board.methods}
    with decided_plot(boards, names, "erm+by_tissue") as figure:
        axes = figure.axes
        assert [each.get_title(loc="left").splitlines()[0] for each in axes] == [
            f"threshold {board.threshold}" for board in boards
        ]
        labels = [label.get_text() for label in axes[0].get_yticklabels()]
        assert labels == ["ERM", "GERNE"]
        for each, board in zip(axes, boards, strict=True):
            found = wga(board)
            pairs = [line.get_xdata() for line in each.lines if len(np.unique(line.get_ydata())) == 1]
            drawn = {tuple(np.round(np.asarray(pair, float), 9)) for pair in pairs if len(pair) == 2}
            expected = {
                tuple(np.round([found[name], found[decided_name(name, "by_tissue")]], 9)) for name in METHODS
            }
            assert expected <= drawn


def test_a_threshold_that_one_fold_moves_ranks_no_otherwise(study: list[Run]) -> None:
    """Folds have networks of their own, whose log-odds have no scale in common."""
    low = [one for one in study if one.threshold == "low"]
    moved = []
    for one in low:
        logit = one.patches["logit"] + 2.0 * (one.patches["fold"] == 1)
        moved.append(replace(one, patches=one.patches.assign(logit=logit, probability=expit(logit))))
    found, other = board_of(low).methods[0], board_of(moved).methods[0]
    for key in ("auroc", "auroc_within"):
        assert other.figures[key].estimate == pytest.approx(found.figures[key].estimate, abs=1e-12)
        assert other.figures[key].low == pytest.approx(found.figures[key].low, abs=1e-12)
    rows = low[0].patches
    counts = [
        (roc_auc_score(own["label"], own["logit"]), own["label"].sum() * (1 - own["label"]).sum())
        for _, own in rows.groupby("fold")
    ]
    values, pairs = zip(*counts, strict=True)
    erm = board_of([one for one in low if one.seed == 0]).methods[0]
    assert erm.figures["auroc"].estimate == pytest.approx(np.average(values, weights=pairs), abs=1e-12)


def test_titles_of_three_thresholds_do_not_lie_over_each_other(study: list[Run]) -> None:
    boards = scoreboards_of(study, terms_for(study))
    # Long names leave the panels little room.
    names = {each.algorithm: f"class-balanced {each.name}" for board in boards for each in board.methods}
    for plot in (dot_plot(boards, names), decided_plot(boards, names, "erm+by_tissue")):
        with plot as figure:
            figure.draw_without_rendering()
            places = [axes.xaxis.label.get_window_extent() for axes in figure.axes]
            assert all(one.x1 < other.x0 for one, other in pairwise(places))


def test_a_name_that_reads_as_a_rule_is_refused(split: list[Run]) -> None:
    """It would be no reference, and have no place among the methods."""
    with pytest.raises(ConfigError, match=r"my\+net"):
        board_of([*split, replace(split[1], algorithm="my+net")])


def test_pools_of_a_rule_hold_the_same_patches(split: list[Run]) -> None:
    tested, _ = with_decided(split, terms_for(split))
    pools = pools_of(tested, ["gerne"])
    assert [pool.algorithm for pool in pools] == ["gerne", "gerne+by_tissue", "erm", "erm+by_tissue"]
    assert {base_of(pool.algorithm) for pool in pools} == {"erm", "gerne"}
    assert LAYOUT.n_groups == 4
