"""First models: trained once, within the budget, and blind to the patients that they must not see."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.algorithms.parts.first_model import FirstModel, FirstStage
from models.data.dataset import PatchData
from models.metrics.selection import Judge
from models.training.attempts import FitResult
from models.training.first_models import FirstModels, first_settings, second_settings
from models.training.fit import fit
from models.training.loop import Trainer
from models.training.making import make_algorithm
from models.training.settings import TrainSettings
from models.training.setup import Setup
from patching.errors import AlgorithmError
from tests.models.conftest import first_model

MakeData = Callable[..., PatchData]
N = 66
# Squares modulo 11: six patients, of which "p0" has half as many samples as the others.
PATIENT_N = np.array([f"p{n * n % 11}" for n in range(N)])
UNKNOWN = {"batch_size": 8, "t": 0.2, "first_share": 0.25}


def setup_of(make: MakeData, settings: TrainSettings, *, patients: bool = True) -> Setup:
    train = replace(make(N), patient_N=PATIENT_N if patients else None)
    return Setup(train, make(24, seed=9), settings, seed=0, quiet=True)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> list[Trainer]:
    """Every training that was run, in order."""
    found: list[Trainer] = []
    original = Setup.run

    def recorded(self: Setup, trainer: Trainer, name: str, title: str) -> Any:
        found.append(trainer)
        return original(self, trainer, name, title)

    monkeypatch.setattr(Setup, "run", recorded)
    return found


def seen_by(trainer: Trainer) -> set[str]:
    assert trainer.data.patient_N is not None
    return set(trainer.data.patient_N.tolist())


def fitted(
    make: MakeData,
    settings: TrainSettings,
    algorithm: str,
    own: Mapping[str, Any],
    folder: Path | None = None,
) -> FitResult:
    train = replace(make(N, tie=0.8), patient_N=PATIENT_N)
    setup = Setup(train, make(24, seed=9), settings, seed=0, working_folder=folder, quiet=True)
    return fit(setup, algorithm, own)


def test_candidates_that_ask_for_the_same_share_a_first_model(
    shortcut_data: MakeData, quick: TrainSettings, run: list[Trainer]
) -> None:
    candidates = [{"t": 0.1}, {"t": 0.3}, {"t": 0.1, "first_share": 0.5}, {"t": 0.2, "beta": 0.5}]
    result = fitted(shortcut_data, quick, "gerne_unknown", UNKNOWN | {"candidates": candidates})
    kinds = [type(trainer.algorithm).__name__ for trainer in run]
    assert kinds.count("GerneUnknown") == len(result.trials) == 4
    assert kinds.count("ClassBalanced") == 2
    firsts = [trainer.algorithm.first for trainer in run if trainer.algorithm.first]
    assert firsts[0] is firsts[1] is firsts[3]
    assert firsts[2] is not firsts[0]


def test_both_stages_cost_what_one_training_costs(
    shortcut_data: MakeData, quick: TrainSettings, run: list[Trainer]
) -> None:
    settings = quick.model_copy(update={"epochs": 6.0})
    fitted(shortcut_data, settings, "jtt", {"batch_size": 3, "first_share": 0.25})
    assert [trainer.settings.epochs for trainer in run] == [1.5, 4.5]
    # 66 samples by 6 a step.
    assert [trainer.steps for trainer in run] == [17, 50]
    stage = FirstStage(share=0.3, learning_rate=0.1, weight_decay=2.0, selection="average")
    first, second = first_settings(settings, stage), second_settings(settings, stage)
    assert first.epochs + second.epochs == pytest.approx(6)
    assert first.learning_rate == pytest.approx(0.1 * settings.learning_rate)
    assert first.weight_decay == pytest.approx(2 * settings.weight_decay)
    assert (first.selection, second.selection) == ("average", settings.selection)
    unchanged = {"epochs", "learning_rate", "weight_decay", "selection"}
    assert first.model_dump(exclude=unchanged) == settings.model_dump(exclude=unchanged)
    assert second.model_dump(exclude={"epochs"}) == settings.model_dump(exclude={"epochs"})


def test_held_out_patients_are_not_seen(
    shortcut_data: MakeData, quick: TrainSettings, run: list[Trainer]
) -> None:
    made = FirstModels(setup_of(shortcut_data, quick), "dfr")
    first = made.get(FirstStage(algorithm_settings={"batch_size": 8}, held_out=0.3))
    assert len(run) == 1
    unseen = set(PATIENT_N[first.unseen_N].tolist())
    assert unseen | seen_by(run[0]) == set(PATIENT_N.tolist())
    assert not unseen & seen_by(run[0])
    assert 0.2 < first.unseen_N.mean() < 0.45
    assert len(run[0].data) == N - first.unseen_N.sum()
    again = FirstModels(setup_of(shortcut_data, quick), "dfr").get(FirstStage(held_out=0.3))
    assert again.unseen_N.tolist() == first.unseen_N.tolist(), "the seed decides who is held out"


def test_every_patient_is_scored_by_a_model_that_never_saw_it(
    shortcut_data: MakeData, quick: TrainSettings, run: list[Trainer]
) -> None:
    made = setup_of(shortcut_data, quick)
    first = FirstModels(made, "gerne_unknown").get(FirstStage(algorithm_settings={"batch_size": 8}, folds=3))
    assert len(run) == 3
    assert not first.unseen_N.any()
    for patient in np.unique(PATIENT_N):
        blind = [trainer for trainer in run if patient not in seen_by(trainer)]
        assert len(blind) == 1
        rows_M = np.flatnonzero(patient == PATIENT_N)
        logits_MK = blind[0].classifier.predict_logits(made.train.subset(rows_M).images.chunks())
        np.testing.assert_allclose(first.logits_NK[rows_M], logits_MK, atol=1e-6)
        others = [trainer.classifier for trainer in run if trainer is not blind[0]]
        for other in others:
            its_MK = other.predict_logits(made.train.subset(rows_M).images.chunks())
            assert np.abs(first.logits_NK[rows_M] - its_MK).max() > 1e-3


def test_folds_are_of_similar_size_in_spite_of_uneven_patients(
    shortcut_data: MakeData, quick: TrainSettings, run: list[Trainer]
) -> None:
    FirstModels(setup_of(shortcut_data, quick), "x").get(FirstStage(folds=2, share=0.1))
    sizes = [len(trainer.data) for trainer in run]
    assert sum(sizes) == N
    assert max(sizes) <= N / 2 + 12, "no more than the largest patient apart"


def test_patients_are_needed_to_leave_some_out(shortcut_data: MakeData, quick: TrainSettings) -> None:
    made = FirstModels(setup_of(shortcut_data, quick, patients=False), "gerne_unknown")
    with pytest.raises(AlgorithmError, match="0 known training patients, 3 folds"):
        made.get(FirstStage(folds=3))
    with pytest.raises(AlgorithmError, match="6 known training patients, 10 folds"):
        FirstModels(setup_of(shortcut_data, quick), "dfr").get(FirstStage(held_out=0.1))


def test_unknown_patients_are_not_held_out_and_it_is_told(
    shortcut_data: MakeData, quick: TrainSettings, caplog: pytest.LogCaptureFixture
) -> None:
    made = FirstModels(setup_of(shortcut_data, quick, patients=False), "dfr")
    first = made.get(FirstStage(algorithm_settings={"batch_size": 8}, share=0.2, held_out=0.3))
    assert not first.unseen_N.any()
    assert "patients are not known" in caplog.text


def test_a_state_that_began_with_another_first_model_is_not_taken_up(
    shortcut_data: MakeData, quick: TrainSettings, tmp_path: Path
) -> None:
    made = setup_of(shortcut_data, quick.model_copy(update={"epochs": 1.0}))
    label_N = made.train.label_N
    last: dict[bool, list[dict[str, torch.Tensor]]] = {True: [], False: []}
    for saved in (True, False):
        own = replace(made, working_folder=tmp_path if saved else None)
        for seed in (1, 2):
            jtt = make_algorithm("jtt", {"batch_size": 8}, made.known, first_model(label_N, 2, seed))
            trainer = own.trainer(jtt, own.settings)
            own.run(trainer, "jtt-0", "")
            last[saved].append(trainer.classifier.state_dict())
    assert all(torch.equal(value, last[False][1][key]) for key, value in last[True][1].items())
    assert not all(torch.equal(value, last[False][0][key]) for key, value in last[True][1].items())


def test_predictions_and_probabilities_of_the_own_class() -> None:
    logits_NK = np.log(np.array([[0.2, 0.5, 0.3], [0.7, 0.1, 0.2]], np.float32))
    first = FirstModel(torch.nn.Identity(), logits_NK, np.zeros(2, bool))  # type: ignore[arg-type]
    assert first.prediction_N.tolist() == [1, 0]
    np.testing.assert_allclose(first.own_class_probability(np.array([2, 1])), [0.3, 0.1], rtol=1e-6)


@pytest.mark.parametrize(
    ("algorithm", "own"),
    [
        ("gerne_unknown", UNKNOWN | {"folds": 2}),
        ("dfr", {"batch_size": 8, "held_out": 0.3, "first_share": 0.5}),
    ],
)
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_interrupted_in_either_stage_it_ends_with_the_same_weights(
    shortcut_data: MakeData,
    quick: TrainSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    algorithm: str,
    own: dict[str, Any],
    share: float,
) -> None:
    settings = quick.model_copy(update={"epochs": 4.0, "validate_every": 0.5})
    validations: list[str] = []
    original, stop_at = Judge.figures, [1000]

    def figures(self: Judge, logits_NK: Any) -> dict[str, float]:
        if len(validations) == stop_at[0]:
            raise KeyboardInterrupt
        validations.append("")
        return original(self, logits_NK)

    monkeypatch.setattr(Judge, "figures", figures)
    whole = fitted(shortcut_data, settings, algorithm, own)
    total = len(validations)
    stop_at[0] = int(share * total)
    validations.clear()
    with pytest.raises(KeyboardInterrupt):
        fitted(shortcut_data, settings, algorithm, own, tmp_path)
    begun = {path.name for path in tmp_path.iterdir()}
    assert (f"{algorithm}-0.safetensors" in begun) == (share == 0.9)
    stop_at[0] = 1000
    validations.clear()
    resumed = fitted(shortcut_data, settings, algorithm, own, tmp_path)
    assert len(validations) < total
    expected = whole.classifier.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in resumed.classifier.state_dict().items())
    assert resumed.history == whole.history


def test_every_fold_has_every_class(shortcut_data: MakeData, quick: TrainSettings) -> None:
    """Three of twelve patients are of class 0: at random, a fold often has none of them."""
    data = shortcut_data(120)
    number_N = np.arange(120) // 2
    patient_N = np.where(data.label_N == 0, number_N % 3, 3 + number_N % 9).astype(str)
    ready = setup_of(shortcut_data, quick)
    for seed in range(6):
        made = replace(ready, train=replace(data, patient_N=patient_N), seed=seed)
        fold_N = FirstModels(made, "any")._folds(3)
        assert {tuple(pair) for pair in np.unique(np.stack([fold_N, data.label_N], axis=1), axis=0)} == {
            (fold, label) for fold in range(3) for label in range(2)
        }
        assert len({(p, f) for p, f in zip(patient_N, fold_N, strict=True)}) == 12
