"""What a saved training must have in common with the one that takes it up."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.parts.first_model import FirstStage
from models.data.dataset import PatchData
from models.training.attempts import FitResult
from models.training.first_models import FirstModels
from models.training.fit import fit
from models.training.settings import TrainSettings
from models.training.setup import Setup
from tests.models.conftest import bound

MakeData = Callable[..., PatchData]


@pytest.fixture
def tiny(quick: TrainSettings) -> TrainSettings:
    return quick.model_copy(
        update={"backbone": "mlp", "backbone_settings": {"side": 16}, "augmentation": "none"}
    )


def first_logits(
    make: MakeData, settings: TrainSettings, stage: FirstStage, folder: Path, patients: int = 6
) -> Any:
    """Of a first model that is saved under the name of whichever comes first."""
    train = replace(make(40, side=16), patient_N=np.array([f"p{n // 2 % patients}" for n in range(40)]))
    validation = make(16, tie=0.5, seed=9, side=16)
    made = Setup(train, validation, settings, seed=0, working_folder=folder, quiet=True)
    return FirstModels(made, "jtt").get(stage).logits_NK


def test_a_first_model_that_another_split_has_chosen_is_not_taken_up(
    shortcut_data: MakeData, tiny: TrainSettings, tmp_path: Path
) -> None:
    settings = tiny.model_copy(update={"epochs": 8.0, "learning_rate": 0.05, "schedule": "constant"})
    stage = FirstStage(algorithm_settings={"batch_size": 4}, selection="average")
    by_training = replace(stage, judged_on="training")
    one, other = (
        first_logits(shortcut_data, settings, each, tmp_path / str(i))
        for i, each in enumerate((stage, by_training))
    )
    assert not np.array_equal(one, other), "else this would show nothing"
    first_logits(shortcut_data, settings, stage, tmp_path / "both")
    again = first_logits(shortcut_data, settings, by_training, tmp_path / "both")
    np.testing.assert_array_equal(again, other)


def test_a_first_model_of_other_patients_is_not_taken_up(
    shortcut_data: MakeData, tiny: TrainSettings, tmp_path: Path
) -> None:
    stage = FirstStage(algorithm_settings={"batch_size": 4}, held_out=0.5)
    expected = first_logits(shortcut_data, tiny, stage, tmp_path / "alone", patients=4)
    first_logits(shortcut_data, tiny, stage, tmp_path / "both", patients=2)
    again = first_logits(shortcut_data, tiny, stage, tmp_path / "both", patients=4)
    np.testing.assert_array_equal(again, expected)


def test_a_training_without_test_figures_is_not_taken_up_where_they_are_asked_for(
    shortcut_data: MakeData, tiny: TrainSettings, tmp_path: Path
) -> None:
    def fitted(oracle: PatchData | None) -> FitResult:
        train, validation = shortcut_data(24, side=16), shortcut_data(8, seed=9, side=16)
        setup = Setup(train, validation, tiny, 0, oracle=oracle, working_folder=tmp_path, quiet=True)
        return fit(setup, "erm", {"batch_size": 4})

    assert not fitted(None).oracle
    assert set(fitted(shortcut_data(8, seed=5, side=16)).oracle) == {
        "oracle_wga", "oracle_gba", "oracle_average",
    }  # fmt: skip
    assert not fitted(None).oracle


@pytest.mark.usefixtures("newcomers")
def test_a_second_stage_begins_as_its_hooks_say(shortcut_data: MakeData, tiny: TrainSettings) -> None:
    train = shortcut_data(40, side=16)
    setup = Setup(train, train, tiny, seed=0)
    whole, head, fresh = (
        bound(name, {"batch_size": 4}, setup.known, setup.normalization, tiny)
        for name in ("errors_twice", "blind_head", "jtt")
    )
    assert whole.first is not None
    theirs = whole.first.classifier.state_dict()
    assert whole.first.classifier is not setup.classifier(whole), "the first model itself stays as it is"

    def differing(algorithm: AbstractAlgorithm[Any, Any]) -> set[str]:
        own = setup.classifier(algorithm).state_dict()
        return {key for key, value in own.items() if not torch.equal(value, theirs[key])}

    assert not differing(whole)
    last = {f"backbone.output.{name}" for name in ("weight", "bias")}
    assert differing(head) == last
    trained = {name for name, p in setup.classifier(head).named_parameters() if p.requires_grad}
    assert trained == last
    assert last < differing(fresh)
