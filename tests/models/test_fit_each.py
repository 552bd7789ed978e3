"""One training of a method that sees no attribute, and the best state for each of several attributes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.algorithms.registry import ALGORITHMS
from models.data.dataset import PatchData
from models.groups import TrainGroups
from models.metrics.selection import Judge, Score
from models.training.attempts import FitResult
from models.training.fit import fit, fit_each
from models.training.loop import Trainer
from models.training.making import make_algorithm, sees_attributes
from models.training.settings import TrainSettings
from models.training.setup import Setup
from patching.errors import AlgorithmError, ConfigError, EmptyGroupError, GroupError

MakeData = Callable[..., PatchData]


@pytest.fixture
def setup(shortcut_data: MakeData, quick: TrainSettings) -> Setup:
    settings = quick.model_copy(
        update={"validate_every": 0.25, "learning_rate": 0.1, "schedule": "constant", "epochs": 1.5}
    )
    train = replace(shortcut_data(64), patient_N=np.array([f"p{i % 7}" for i in range(64)]))
    return Setup(train, shortcut_data(44, tie=0.7, seed=9), settings, seed=3, quiet=True)


def attributes(setup: Setup) -> dict[str, NDArray[np.int64]]:
    """The brightness; all but the first patches of each class; the last three of one class alone."""
    numbers_N = np.arange(len(setup.validation))
    return {
        "bright": setup.validation.attribute_N,
        "late": (numbers_N >= 5).astype(np.int64),
        "three": ((numbers_N >= 38) & (setup.validation.label_N == 1)).astype(np.int64),
    }


def alone(setup: Setup, name: str, settings: Mapping[str, Any], which: str) -> FitResult:
    attribute_N = attributes(setup)[which]
    return fit(
        replace(setup, validation=replace(setup.validation, attribute_N=attribute_N)), name, dict(settings)
    )


def assert_equal(found: FitResult, expected: FitResult) -> None:
    # As text, which is exact, and where NaN equals NaN.
    assert repr(found.trials) == repr(expected.trials)
    assert repr(found.history) == repr(expected.history)
    assert found.chosen == expected.chosen
    assert found.algorithm_settings == expected.algorithm_settings
    own, other = found.classifier.state_dict(), expected.classifier.state_dict()
    assert all(torch.equal(own[key], value) for key, value in other.items())


CANDIDATES: dict[str, dict[str, Any]] = {
    "erm": {"batch_size": 8, "candidates": [{"batch_size": 12}, {}]},
    "class_balanced": {"batch_size": 8, "candidates": [{}, {"batch_size": 6}]},
    "jtt": {"batch_size": 8, "candidates": [{"lambda_up": 2}, {"lambda_up": 6, "folds": 2}]},
    "gerne_unknown": {"batch_size": 8, "candidates": [{"t": 0.1}, {"t": 0.4}]},
}


@pytest.mark.parametrize("name", CANDIDATES)
def test_each_result_is_that_of_its_attributes_alone(
    setup: Setup, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    run = Trainer.run

    def counted(self: Trainer, **options: Any) -> Any:
        steps.append(self.steps)
        return run(self, **options)

    monkeypatch.setattr(Trainer, "run", counted)
    found = fit_each(setup, name, CANDIDATES[name], attributes(setup))
    together, _ = len(steps), steps.clear()
    assert list(found) == ["bright", "late", "three"]
    for which, result in found.items():
        assert_equal(result, alone(setup, name, CANDIDATES[name], which))
    # A first model that is chosen by average accuracy may differ by its ties, which groups decide.
    assert 3 * together == len(steps) if name in ("erm", "class_balanced") else together < len(steps) / 1.5


@pytest.mark.parametrize("name", ["erm", "gerne_unknown"])
def test_attributes_that_disagree_keep_states_of_their_own(
    setup: Setup, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of first models too, whose second trainings are then different ones."""

    def score(self: Judge, history: Sequence[Mapping[str, float]]) -> Score:
        assert isinstance(self.patches, PatchData)
        wanted = {22: 2, 39: 4, 3: 1}[int(self.patches.attribute_N.sum())]
        return Score(-abs(len(history) - wanted), 0, 0)

    monkeypatch.setattr(Judge, "score", score)
    own = {"batch_size": 4, "t": 0.3} if name == "gerne_unknown" else {"batch_size": 8}
    sets = attributes(setup)
    assert [int(attribute_N.sum()) for attribute_N in sets.values()] == [22, 39, 3]
    found = fit_each(setup, name, own, sets)
    for which, result in found.items():
        assert_equal(result, alone(setup, name, own, which))
    rows = [[row["step"] for row in result.history] for result in found.values()]
    kept = [result.trials[0].figures["step"] for result in found.values()]
    assert kept == [rows[0][1], rows[1][3], rows[2][0]]
    losses = {result.history[0]["train_loss"] for result in found.values()}
    # A first model has two validations here, so that two of the three agree.
    assert len(losses) == (2 if name == "gerne_unknown" else 1)


def test_three_sets_of_one_attribute_are_one_result(setup: Setup) -> None:
    attribute_N = setup.validation.attribute_N
    found = fit_each(setup, "erm", {"batch_size": 8}, dict.fromkeys("abc", attribute_N))
    assert_equal(found["b"], found["a"])
    assert_equal(found["c"], found["a"])
    assert found["a"].classifier is not found["b"].classifier


def test_methods_that_see_attributes_are_told_apart() -> None:
    blind = {"erm", "class_balanced", "jtt", "gerne_unknown", "lff", "mat", "cnc", "sam", "mixup"}
    seeing = {"gerne", "group_resampling", "dfr", "crt", "pde", "subg", "group_dro", "irm", "lisa"}
    for name in (*blind, *seeing):
        assert sees_attributes(name, {}) == (name in seeing), name


def test_a_first_model_that_sees_attributes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = ALGORITHMS["jtt"]
    inner = kind.first_stage

    def seeing(settings: Any) -> Any:
        return replace(inner(settings), algorithm="group_resampling") if settings.lambda_up == 4 else None

    monkeypatch.setattr(kind, "first_stage", seeing)
    assert not sees_attributes("jtt", {"lambda_up": 3})
    assert sees_attributes("jtt", {"lambda_up": 4})
    assert sees_attributes("jtt", {"candidates": [{"lambda_up": 3}, {"lambda_up": 4}]})


def test_what_cannot_be_shared_is_refused_before_anything_is_trained(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Setup, "run", None)
    sets = attributes(setup)
    with pytest.raises(AlgorithmError, match=r"group_resampling.*training samples' attributes"):
        fit_each(setup, "group_resampling", {}, sets)
    with pytest.raises(ConfigError, match="no working folder"):
        fit_each(replace(setup, working_folder=tmp_path), "erm", {}, sets)
    with pytest.raises(ConfigError, match="0 sets of validation attributes"):
        fit_each(setup, "erm", {}, {})
    with pytest.raises(GroupError, match="44 patches"):
        fit_each(setup, "erm", {}, {"short": sets["late"][1:]})


def test_a_state_is_not_saved_without_the_judges_beside(setup: Setup, tmp_path: Path) -> None:
    train = setup.train
    method = make_algorithm(
        "erm", {"batch_size": 8}, TrainGroups(setup.layout, train.label_N, train.attribute_N)
    )
    trainer = setup.trainer(method, setup.settings, beside={"other": setup})
    with pytest.raises(ConfigError, match="2 judges"):
        trainer.run(state_path=tmp_path / "last.safetensors", quiet=True)
    assert not list(tmp_path.iterdir())


def test_a_candidate_that_cannot_run_loses_for_every_attribute(setup: Setup) -> None:
    own = {"batch_size": 8, "candidates": [{"t": 0.001}, {"t": 0.3}]}
    for result in fit_each(setup, "gerne_unknown", own, attributes(setup)).values():
        assert "t = 0.001" in result.trials[0].failure
        assert result.chosen == 1
    with pytest.raises(EmptyGroupError, match=r"t = 0\.001"):
        fit_each(setup, "gerne_unknown", {"batch_size": 8, "t": 0.001}, attributes(setup))
