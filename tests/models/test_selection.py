"""The validation split's rule."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from models.data.dataset import MemoryPatches, PatchData
from models.groups import GroupLayout
from models.metrics.selection import FIGURES, Choice, ChooseBy, Judge, Score, SelectionRule

LABEL_N = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1])
ATTRIBUTE_N = np.array([0, 0, 0, 0, 1, 1, 0, 1, 1, 1])  # groups of 4, 2, 1 and 3
RIGHT_N = np.array([1, 1, 1, 1, 1, 0, 0, 1, 1, 0])  # accuracies 1, 1/2, 0, 2/3


def judge(rule: SelectionRule = "worst_group", minimum: int = 1, smoothing: int = 1) -> Judge:
    data = PatchData(MemoryPatches(np.zeros((10, 2, 2, 1), np.uint8)), LABEL_N, ATTRIBUTE_N, np.ones(10))
    return Judge(data, GroupLayout(2, 2), rule, minimum, smoothing)


@pytest.fixture
def logits_NK() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    predicted_N = np.where(RIGHT_N, LABEL_N, 1 - LABEL_N)
    return (2.0 * np.eye(2)[predicted_N]).astype(np.float32)


def test_figures(logits_NK: np.ndarray) -> None:
    found = judge().figures(logits_NK)
    assert found["validation_wga"] == 0
    assert found["validation_gba"] == pytest.approx((1 + 1 / 2 + 0 + 2 / 3) / 4)
    assert found["validation_average"] == 0.7
    assert [found[f"validation_accuracy_g{g}"] for g in range(4)] == pytest.approx([1, 1 / 2, 0, 2 / 3])
    right, wrong = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    group_losses = [right, (right + wrong) / 2, wrong, (2 * right + wrong) / 3]
    assert found["validation_loss"] == pytest.approx(np.mean(group_losses))


def test_small_groups_have_no_say_and_are_named(
    logits_NK: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    found = judge(minimum=2).figures(logits_NK)
    assert "label 1, attribute 0: 1 validation patches, below 2" in caplog.text
    assert found["validation_wga"] == 0.5
    assert math.isnan(found["validation_accuracy_g2"])


def test_no_group_is_large_enough(logits_NK: np.ndarray) -> None:
    strict = judge(minimum=5)
    found = strict.figures(logits_NK)
    assert math.isnan(found["validation_wga"])
    assert math.isfinite(found["validation_loss"])
    assert strict.score([found]).figure == -math.inf


def row(figure: float, gba: float, loss: float) -> dict[str, float]:
    return dict.fromkeys(FIGURES.values(), figure) | {"validation_gba": gba, "validation_loss": loss}


def test_ties_go_to_group_balanced_accuracy_then_to_the_lower_loss() -> None:
    score: Callable[..., Score] = lambda *figures: judge().score([row(*figures)])  # noqa: E731
    assert score(0.6, 0.1, 9.0) > score(0.5, 0.9, 0.1)
    assert score(0.5, 0.8, 9.0) > score(0.5, 0.7, 0.1)
    assert score(0.5, 0.7, 0.1) > score(0.5, 0.7, 0.2)
    assert not score(0.5, 0.7, 0.2) > score(0.5, 0.7, 0.2)
    assert score(0.0, 0.0, 9.0) > score(math.nan, 0.9, 0.1)


@pytest.mark.parametrize("rule", FIGURES)
def test_each_rule_reads_its_figure(rule: SelectionRule) -> None:
    figures = {name: float(i) for i, name in enumerate(FIGURES.values())} | {"validation_loss": 1.0}
    assert judge(rule).score([figures]).figure == figures[FIGURES[rule]]


def test_smoothing_averages_the_last_validations() -> None:
    history = [row(1.0, 1.0, 1.0), row(0.2, 0.4, 2.0), row(0.6, 0.6, 4.0)]
    assert judge(smoothing=2).score(history) == pytest.approx((0.4, 0.5, -3.0))
    assert judge(smoothing=5).score(history[:1]) == (1.0, 1.0, -1.0)


def test_logits_are_only_read(logits_NK: np.ndarray) -> None:
    logits_NK.setflags(write=True)
    before = torch.tensor(logits_NK)
    judge().figures(logits_NK)
    assert torch.equal(torch.tensor(logits_NK), before)


def of_patients(
    patient_N: list[str] | None,
    label_N: list[int],
    attribute_N: list[int],
    minimum: int = 2,
    choose_by: ChooseBy = "auto",
    **changes: Any,
) -> Judge:
    data = PatchData(
        MemoryPatches(np.zeros((len(label_N), 2, 2, 1), np.uint8)),
        np.array(label_N),
        np.array(attribute_N),
        np.ones(len(label_N)),
        None if patient_N is None else np.array(patient_N),
    )
    shown = data.labelled if changes.pop("nowhere", False) else data
    rule: SelectionRule = "worst_group" if isinstance(shown, PatchData) else "worst_class"
    return Judge(
        shown, GroupLayout(2, 2), rule, 1, 1, choose_by=choose_by, minimum_patients=minimum, **changes
    )


# Label 0: two patients with attribute 0, one with 1; label 1: one with 0, and two with 1, of many patches.
FEW = (["a", "a", "b", "a", "c", "c", "d"], [0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0, 1])


def test_a_label_without_a_group_of_enough_patients_leaves_the_choice_to_nothing() -> None:
    assert of_patients(*FEW).choice == Choice(
        "validation", "every label has a group of at least 2 validation patients"
    )
    found = of_patients(*FEW, minimum=3).choice
    assert found.by == "last"
    assert found.why == (
        "the largest group of label 0 has 2 validation patient(s), fewer than minimum_validation_patients: 3"
    )
    one_less = ([*FEW[0][:-1], "c"], *FEW[1:])
    assert of_patients(*one_less).choice.why.startswith("the largest group of label 1 has 1 validation")
    absent = (FEW[0][:4], FEW[1][:4], FEW[2][:4])
    assert of_patients(*absent).choice.why.startswith("the largest group of label 1 has 0 validation")
    for minimum in (0, 1):
        assert of_patients(*FEW, minimum=minimum).choice.by == "validation"


def test_patients_of_a_label_count_where_attributes_are_known_nowhere() -> None:
    assert of_patients(*FEW, nowhere=True).choice.by == "validation"
    found = of_patients(*FEW, minimum=3, nowhere=True).choice
    assert found.why.startswith("label 0 has 2 validation patient(s), fewer")
    # Three patients with label 0, though no more than two in one group.
    more = (["e", *FEW[0], "f"], [0, *FEW[1], 1], [1, *FEW[2], 0])
    assert of_patients(*more, minimum=3, nowhere=True).choice.by == "validation"
    assert of_patients(*more, minimum=3).choice.by == "last"


def test_groups_of_few_patients_have_no_say_and_are_named(caplog: pytest.LogCaptureFixture) -> None:
    # Right but for the only patch of (0, 1), and one of two of (1, 0) and (1, 1) each.
    predicted_N = np.array([0, 0, 0, 1, 1, 0, 0])
    logits_NK = (2.0 * np.eye(2)[predicted_N]).astype(np.float32)
    found = of_patients(*FEW).figures(logits_NK)
    assert "label 0, attribute 1: 1 validation patients, below 2" in caplog.text
    assert "label 1, attribute 0: 1 validation patients, below 2" in caplog.text
    assert found["validation_wga"] == 0.5
    assert found["validation_gba"] == 0.75
    assert math.isnan(found["validation_accuracy_g1"])
    right, wrong = math.log1p(math.exp(-2)), math.log1p(math.exp(2))
    assert found["validation_loss"] == pytest.approx((right + (right + wrong) / 2) / 2)


@pytest.mark.parametrize("choose_by", ["validation", "last", "cross_validation"])
def test_patients_are_asked_for_by_auto_alone(choose_by: ChooseBy, caplog: pytest.LogCaptureFixture) -> None:
    found = of_patients(*FEW, minimum=9, choose_by=choose_by)
    assert found.choice == Choice(choose_by, f"choose_by: {choose_by}")
    logits_NK = np.eye(2, dtype=np.float32)[np.array(FEW[1])]
    assert found.figures(logits_NK)["validation_accuracy_g1"] == 1
    assert not caplog.text
    told = of_patients(*FEW, minimum=9).figures(logits_NK)
    assert told == found.figures(logits_NK), "figures are told by patches where nothing is chosen"


def test_unknown_patients_are_not_asked_for() -> None:
    found = of_patients(None, *FEW[1:], minimum=9)
    assert found.choice.by == "validation"
    assert "not known" in found.choice.why
    assert found.figures(np.eye(2, dtype=np.float32)[np.array(FEW[1])])["validation_wga"] == 1


def preferred(made: Judge, wga: list[float]) -> list[bool]:
    history = [row(figure, figure, 1.0) | {"step": step} for step, figure in enumerate(wga, 1)]
    best, found = 1, []
    for step in range(2, len(wga) + 1):
        found.append(made.prefers(history[:step], best))
        best = step if found[-1] else best
    return found


def test_a_fixed_state_is_kept_whatever_the_figures() -> None:
    wga = [0.2, 0.6, 0.6, 0.1, 0.7]
    assert preferred(of_patients(*FEW), wga) == [True, False, False, True]
    assert preferred(of_patients(*FEW, minimum=3), wga) == [True, True, True, True]
    third = of_patients(*FEW, choose_by="cross_validation", kept=3)
    assert preferred(third, wga) == [True, True, False, False]
    assert preferred(of_patients(*FEW, choose_by="cross_validation", kept=1), wga) == [False] * 4
