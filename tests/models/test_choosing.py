"""What chooses the step and the candidate: validation, nothing, or inner folds of the training patients."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.data.dataset import MemoryPatches, PatchData
from models.metrics.selection import Judge, Score
from models.training.attempts import FitResult
from models.training.fit import fit, fit_each
from models.training.keeping import TrainResult
from models.training.loop import Trainer
from models.training.settings import ADDED, TrainSettings
from models.training.setup import Setup
from patching.errors import AlgorithmError, CheckpointError, ConfigError, DivergenceError

MakeData = Callable[..., PatchData]
ERM = {"candidates": [{"batch_size": 8}, {"batch_size": 6}]}


def patients(n: int, each: int) -> NDArray[np.str_]:
    """As many patches of each, one after the other: label and attribute vary within a patient."""
    return np.array([f"p{i // each}" for i in range(n)])


@pytest.fixture
def setup(shortcut_data: MakeData, quick: TrainSettings) -> Setup:
    """Twelve training patients, and ten for validation: five of each kind of attribute, with both labels."""
    settings = quick.model_copy(
        update={"epochs": 1.0, "validate_every": 0.34, "minimum_validation_patients": 3}
    )
    train, validation = shortcut_data(48, tie=0.6), shortcut_data(40, tie=0.5, seed=9)
    return Setup(
        replace(train, patient_N=patients(48, 4)),
        replace(validation, patient_N=patients(40, 4)),
        settings,
        seed=3,
        quiet=True,
    )


def chosen_by(setup: Setup, by: str, **changes: Any) -> Setup:
    return replace(setup, settings=setup.settings.model_copy(update={"choose_by": by, **changes}))


def few(setup: Setup) -> Setup:
    """Two validation patients with the bias-conflicting patches of both labels, and two with the others."""
    return replace(setup, validation=replace(setup.validation, patient_N=patients(40, 10)))


def assert_equal(found: FitResult, expected: FitResult) -> None:
    assert repr(found.history) == repr(expected.history)
    assert found.chosen == expected.chosen
    own, other = found.classifier.state_dict(), expected.classifier.state_dict()
    assert all(torch.equal(own[key], value) for key, value in other.items())


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Trainer, list[NDArray[np.float32]]]]:
    """Every training that was run, with the logits of its validations."""
    found: list[tuple[Trainer, list[NDArray[np.float32]]]] = []
    original = Trainer.run

    def recorded(self: Trainer, **options: Any) -> TrainResult:
        heard: list[NDArray[np.float32]] = []
        listeners = [heard.append, *filter(None, [self.listen])]

        def tell(logits_NK: NDArray[np.float32]) -> None:
            for listener in listeners:
                listener(logits_NK)

        self.listen = tell
        found.append((self, heard))
        return original(self, **options)

    monkeypatch.setattr(Trainer, "run", recorded)
    return found


def test_enough_patients_choose_as_patches_do(setup: Setup) -> None:
    found, expected = fit(setup, "erm", ERM), fit(chosen_by(setup, "validation"), "erm", ERM)
    assert found.choice.by == expected.choice.by == "validation"
    assert found.choice.why == "every label has a group of at least 3 validation patients"
    assert repr(found.trials) == repr(expected.trials)
    assert_equal(found, expected)


def test_too_few_patients_keep_the_last_step_of_the_first_candidate(
    setup: Setup, run: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    found = fit(few(setup), "erm", ERM)
    assert len(run) == len(found.trials) == 1
    assert found.choice.by == "last"
    assert "has 2 validation patient(s), fewer than minimum_validation_patients: 3" in found.choice.why
    assert f"the last step is kept ({found.choice.why})" in caplog.text
    assert "the first of 2 candidates is taken: {'batch_size': 8}" in caplog.text
    trial = found.trials[found.chosen]
    assert trial.figures == found.history[-1]
    assert trial.score is not None
    assert trial.score.figure == found.history[-1]["validation_wga"], "told, though nothing was chosen by it"
    logits_NK = found.classifier.predict_logits(setup.validation.images.chunks())
    right_N = logits_NK.argmax(axis=1) == setup.validation.label_N
    assert right_N.mean() == found.history[-1]["validation_average"]


def test_the_last_step_may_be_asked_for(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    found = fit(chosen_by(setup, "last"), "erm", {"batch_size": 8})
    assert found.trials[0].figures["step"] == found.history[-1]["step"] > found.history[0]["step"]
    assert found.choice.told == ("the last step of the first candidate, chosen by nothing (choose_by: last)")
    assert not caplog.text


def test_first_models_keep_their_last_state_too(setup: Setup, run: list[Any]) -> None:
    fit(few(setup), "gerne_unknown", {"batch_size": 4, "t": 0.3, "first_share": 0.5})
    first = run[0][0]
    logits_NK = first.logits(setup.validation)
    np.testing.assert_array_equal(logits_NK, run[0][1][-1])
    assert len(run[0][1]) > 1
    assert not np.array_equal(run[0][1][0], run[0][1][-1])


def test_attributes_differ_in_whether_they_choose(setup: Setup, run: list[Any]) -> None:
    """One set splits the patches so that label 1 has a group of one patient, and none of more than two."""
    data = few(setup).validation
    data = replace(data, patient_N=np.array([f"p{i // 13}" for i in range(40)]))
    numbers_N = np.arange(40)
    sets = {"all": np.zeros(40, np.int64), "halves": (numbers_N >= 20).astype(np.int64)}
    found = fit_each(replace(setup, validation=data), "erm", ERM, sets)
    assert {name: result.choice.by for name, result in found.items()} == {
        "all": "validation",
        "halves": "last",
    }
    assert [len(result.trials) for result in found.values()] == [2, 1]
    for name, attribute_N in sets.items():
        alone = fit(replace(setup, validation=replace(data, attribute_N=attribute_N)), "erm", ERM)
        assert_equal(found[name], alone)


def pooled(runs: list[Any], folds: int) -> list[list[float]]:
    """Share of right patches out of fold, at every validation of every candidate."""
    candidates = [runs[start : start + folds] for start in range(0, len(runs), folds)]
    return [
        [
            sum(
                (heard[number].argmax(axis=1) == trainer.judge.patches.label_N).sum()
                for trainer, heard in of_candidate
            )
            / sum(len(trainer.judge.patches) for trainer, _ in of_candidate)
            for number in range(min(len(heard) for _, heard in of_candidate))
        ]
        for of_candidate in candidates
    ]


def test_inner_folds_choose_and_the_whole_training_split_is_trained_on(
    setup: Setup, run: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked = chosen_by(setup, "cross_validation", inner_folds=3, selection="average")
    found = fit(asked, "erm", ERM)
    assert "erm: 6 trainings choose, before the one that is kept" in caplog.text
    assert len(run) == 7
    averages_CV = pooled(run[:6], 3)
    best = max(max(of_candidate) for of_candidate in averages_CV)
    for trial, averages_V in zip(found.trials, averages_CV, strict=True):
        assert trial.score is not None
        assert trial.score.figure == trial.out_of_fold["average"] == max(averages_V)
    assert found.choice.by == "cross_validation"
    kept = int(found.choice.why.split()[1])
    assert averages_CV[found.chosen][kept - 1] == best
    whole = fit(chosen_by(setup, "validation"), "erm", ERM["candidates"][found.chosen])
    assert repr(found.history) == repr(whole.history), "the same training, of which another state may be kept"
    assert found.trials[found.chosen].figures == found.history[kept - 1]
    assert found.trials[1 - found.chosen].figures == {}
    logits_NK = found.classifier.predict_logits(setup.validation.images.chunks())
    np.testing.assert_array_equal(logits_NK, run[6][1][kept - 1])


@pytest.mark.parametrize("name", ["gerne", "gerne_unknown"])
def test_no_inner_training_scores_a_patient_that_it_saw(setup: Setup, run: list[Any], name: str) -> None:
    own = {"batch_size": 4} | ({"c": 0.5, "beta": 0.5} if name == "gerne" else {"t": 0.3})
    fit(chosen_by(setup, "cross_validation", inner_folds=3), name, own)
    inner = run[: -2 if name == "gerne_unknown" else -1]
    assert len(inner) == (6 if name == "gerne_unknown" else 3)
    scored = []
    for trainer, _ in inner:
        assert trainer.judge.choice.by == "last", "of a first model too"
        unseen = set(trainer.judge.patches.patient_N)
        assert unseen
        assert not unseen & set(trainer.data.patient_N)
        assert len(trainer.data) + len(trainer.judge.patches) == 48
        scored += sorted(unseen)
    assert sorted(set(scored)) == sorted(set(setup.train.patient_N))
    assert len(scored) == len(set(scored)) * (2 if name == "gerne_unknown" else 1)
    assert len(run[-1][0].data) == 48


class Watched(MemoryPatches):
    """Tells when it is read."""

    def __init__(self, images_NHWC: NDArray[Any], events: list[str]) -> None:
        super().__init__(images_NHWC)
        self.events = events

    def read(self, rows_M: NDArray[np.int64]) -> NDArray[Any]:
        self.events.append("read")
        return super().read(rows_M)


def test_cross_validation_reads_neither_validation_nor_test(
    setup: Setup, shortcut_data: MakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    original = Trainer.run

    def marked(self: Trainer, **options: Any) -> TrainResult:
        events.append("train")
        return original(self, **options)

    monkeypatch.setattr(Trainer, "run", marked)

    def watched(data: PatchData) -> PatchData:
        return replace(data, images=Watched(data.images.read(np.arange(len(data))), events))

    asked = chosen_by(setup, "cross_validation", inner_folds=2)
    asked = replace(
        asked, validation=watched(setup.validation), oracle=watched(shortcut_data(16, tie=0.5, seed=5))
    )
    first = fit(asked, "erm", ERM)
    assert events[:5] == ["train"] * 5
    assert "read" in events[5:]
    # Other validation and test patches, and other labels: the same choice, and the same weights.
    other = shortcut_data(24, tie=0.9, seed=77)
    against = replace(other, label_N=1 - other.label_N, patient_N=patients(24, 12))
    second = fit(replace(asked, validation=against, oracle=None), "erm", ERM)
    assert second.choice == first.choice
    assert [trial.score for trial in second.trials] == [trial.score for trial in first.trials]
    own, expected = second.classifier.state_dict(), first.classifier.state_dict()
    assert all(torch.equal(own[key], value) for key, value in expected.items())


def test_an_interrupted_cross_validation_goes_on_after_its_finished_trainings(
    setup: Setup, run: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = chosen_by(setup, "cross_validation", inner_folds=2)
    expected = fit(asked, "erm", ERM)
    saved, whole = replace(asked, working_folder=tmp_path / "work"), Setup.run
    run.clear()

    def stopped(self: Setup, trainer: Trainer, name: str, title: str) -> TrainResult:
        if len(run) == 3:
            raise KeyboardInterrupt
        return whole(self, trainer, name, title)

    with monkeypatch.context() as patched:
        patched.setattr(Setup, "run", stopped)
        with pytest.raises(KeyboardInterrupt):
            fit(saved, "erm", ERM)
    assert len(list((tmp_path / "work").iterdir())) == 3
    run.clear()
    found = fit(saved, "erm", ERM)
    assert len(run) == 2
    assert repr(found.trials) == repr(expected.trials)
    assert_equal(found, expected)
    # Of other settings, nothing is taken up.
    run.clear()
    fit(chosen_by(saved, "cross_validation", learning_rate=0.03), "erm", ERM)
    assert len(run) == 5
    run.clear()
    # The same folds and pixels, and the labels and attributes the other way round.
    train = saved.train
    other = replace(train, label_N=1 - train.label_N, attribute_N=1 - train.attribute_N)
    fit(replace(saved, train=other), "erm", ERM)
    assert len(run) == 5
    for path in (tmp_path / "work").glob("*inner*"):
        path.write_bytes(b"cut off")
    with pytest.raises(CheckpointError, match="start over"):
        fit(saved, "erm", ERM)


def test_training_attributes_that_are_not_known_choose_nothing(setup: Setup) -> None:
    asked = chosen_by(setup, "cross_validation", inner_folds=2, attributes="validation_only")
    order_N = np.random.default_rng(1).permutation(48)
    scrambled = replace(
        setup.train,
        attribute_N=setup.train.attribute_N[order_N],
        tissue_fraction_N=setup.train.tissue_fraction_N[order_N],
    )
    first, second = (fit(each, "erm", ERM) for each in (asked, replace(asked, train=scrambled)))
    assert_equal(first, second)
    assert first.trials[0].score is not None
    assert first.trials[0].score.figure == first.trials[0].out_of_fold["worst_class"]
    with pytest.raises(ConfigError, match="cross_validation"):
        fit(chosen_by(asked, "cross_validation", selection="worst_group"), "erm", ERM)


def test_a_candidate_that_fails_in_a_fold_loses(setup: Setup) -> None:
    own = {"batch_size": 8, "candidates": [{"t": 0.001}, {"t": 0.3}]}
    found = fit(chosen_by(setup, "cross_validation", inner_folds=2), "gerne_unknown", own)
    assert found.chosen == 1
    assert "t = 0.001" in found.trials[0].failure
    wild = chosen_by(setup, "cross_validation", inner_folds=2, learning_rate=1e30, warmup=0.0)
    with pytest.raises(DivergenceError, match="2 of 2 candidates failed"):
        fit(wild, "erm", ERM)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"inner_folds": 13}, "12 known training patients, 13 folds of cross-validation"),
        (
            {"minimum_validation_patients": 13},
            r"training patient\(s\), fewer than minimum_validation_patients",
        ),
    ],
)
def test_too_few_training_patients_cannot_choose_either(
    setup: Setup, changes: Mapping[str, int], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Setup, "run", None)
    with pytest.raises(AlgorithmError, match=told):
        fit(chosen_by(setup, "cross_validation", **changes), "erm", ERM)


def test_patients_that_are_not_known_are_patches_in_inner_folds(
    setup: Setup, run: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    unknown = replace(setup, train=replace(setup.train, patient_N=None))
    fit(chosen_by(unknown, "cross_validation", inner_folds=2), "erm", {"batch_size": 8})
    assert "each patch counts as one" in caplog.text
    assert [len(trainer.data) for trainer, _ in run] == [24, 24, 48]


def test_cross_validation_is_not_shared_between_attributes(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Setup, "run", None)
    with pytest.raises(AlgorithmError, match="erm, which is chosen by the training samples' attributes"):
        fit_each(chosen_by(setup, "cross_validation"), "erm", {}, {"a": setup.validation.attribute_N})


def test_new_settings_at_their_defaults_change_no_identity() -> None:
    settings = TrainSettings()
    assert not set(ADDED) & set(settings.identity())
    assert set(settings.identity()) | set(ADDED) == set(settings.model_dump())
    for key, value in (("choose_by", "last"), ("minimum_validation_patients", 5), ("inner_folds", 4)):
        assert settings.model_copy(update={key: value}).identity() == settings.identity() | {key: value}


def test_a_saved_state_is_of_the_choice_that_it_was_saved_with(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Judge, "score", lambda _, history: Score(-abs(len(history) - 2), 0, 0))
    saved = replace(setup, working_folder=tmp_path)
    best = fit(saved, "erm", {"batch_size": 8})
    assert best.trials[0].figures == best.history[1]
    last = fit(few(saved), "erm", {"batch_size": 8})
    assert last.trials[0].figures == last.history[-1] != last.history[1]
    assert_equal(fit(saved, "erm", {"batch_size": 8}), best)


def test_judges_prefer_by_score_alone_where_validation_chooses(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Judge, "score", lambda _, history: Score(-abs(len(history) - 2), 0, 0))
    found = fit(setup, "erm", {"batch_size": 8})
    assert found.trials[0].figures == found.history[1]
