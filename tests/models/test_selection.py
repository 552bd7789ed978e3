"""The validation split's rule."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from models.data.dataset import MemoryPatches, PatchData
from models.groups import GroupLayout
from models.metrics.selection import FIGURES, Judge, Score, SelectionRule

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
