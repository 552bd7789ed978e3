"""Methods that train the last layer anew: what they learn from, and that nothing else changes."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.dfr import Dfr, DfrSettings
from models.algorithms.parts.first_model import FirstModel
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch
from models.data.dataset import PatchData
from models.groups import GroupLayout, TrainGroups
from models.networks.classifier import Classifier
from models.networks.heads import head_of, only_head
from models.training.first_models import FirstModels, second_settings
from models.training.keeping import TrainResult
from models.training.loop import Trainer
from models.training.making import first_stage, make_algorithm
from models.training.settings import TrainSettings
from models.training.setup import Setup, new_classifier
from patching.errors import ConfigError, EmptyGroupError
from tests.models.conftest import bound, first_model

MakeData = Callable[..., PatchData]
LAYOUT = GroupLayout(2, 2)
# Groups 0..3 of 14 samples; those the features have not seen are marked below.
GROUP_N = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3])
UNSEEN_N = np.array([0, 1, 1, 0, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0], bool)


def dfr(unseen_N: NDArray[np.bool_], group_N: NDArray[np.int64] = GROUP_N, **settings: float) -> Dfr:
    groups = TrainGroups(LAYOUT, group_N // 2, group_N % 2)
    first = replace(first_model(groups.label_N, 2), unseen_N=unseen_N)
    return Dfr(groups, DfrSettings.model_validate({"batch_size": 4} | settings), first)


def learned_from(algorithm: AbstractAlgorithm[TrainGroups, DfrSettings]) -> list[int]:
    plans = islice(algorithm.batches(np.random.default_rng(0)), 20)
    return sorted({n for plan in plans for n in plan.indices_N.tolist()})


def test_dfr_learns_from_equal_groups_of_unseen_samples() -> None:
    # Unseen are two of groups 0 to 2, which are all taken, and three of group 3, of which two are.
    found = learned_from(dfr(UNSEEN_N))
    assert found[:6] == [1, 2, 5, 6, 8, 9]
    assert len(found) == 8
    assert set(found[6:]) < {10, 11, 12}


def test_dfr_learns_from_all_where_none_is_unseen() -> None:
    found = learned_from(dfr(np.zeros(14, bool)))
    assert np.bincount(GROUP_N[found]).tolist() == [2, 2, 2, 2]
    assert {8, 9} < set(found)


def test_dfr_names_the_group_that_no_unseen_sample_has() -> None:
    unseen_N = UNSEEN_N & (GROUP_N != 2)
    with pytest.raises(EmptyGroupError, match="label 1, attribute 0 among the 7 of 14") as caught:
        dfr(unseen_N)
    assert "held_out" in caught.value.do


def test_dfr_tells_shares_of_the_unseen_alone() -> None:
    expectation = dfr(UNSEEN_N).expectation()
    # A quarter for every group, by its two or three unseen samples.
    expected_N = np.where(UNSEEN_N, np.where(GROUP_N == 3, 1 / 12, 1 / 8), 0)
    np.testing.assert_allclose(expectation.share_N, expected_N)
    np.testing.assert_allclose(expectation.samples_N, 8 * expected_N)


def test_the_penalty_is_the_l1_norm_of_the_last_layer() -> None:
    plain, penalized = (dfr(UNSEEN_N, l1=value) for value in (0.0, 0.5))
    classifier = plain.first.classifier.eval()
    plan = next(plain.batches(np.random.default_rng(0)))
    images_BCHW = torch.randn(len(plan), 1, 32, 32, generator=torch.Generator().manual_seed(1))
    batch = Batch(images_BCHW, torch.from_numpy(GROUP_N[plan.indices_N] // 2), plan, 0.0, 0)
    networks = Networks(classifier, classifier)
    with torch.no_grad():
        head_of(classifier.backbone).weight.copy_(torch.full_like(head_of(classifier.backbone).weight, -0.25))
    expected = 0.5 * 0.25 * head_of(classifier.backbone).weight.numel()
    difference = penalized.objective(networks, batch) - plain.objective(networks, batch)
    assert difference.item() == pytest.approx(expected, rel=1e-4)
    assert not penalized.additive


@pytest.mark.parametrize("name", ["crt", "reweight_crt"])
def test_the_second_training_draws_as_the_method_it_is_named_after(name: str) -> None:
    groups = TrainGroups(LAYOUT, GROUP_N // 2, GROUP_N % 2)
    its = make_algorithm({"crt": "group_resampling"}.get(name, "reweight"), {"batch_size": 3}, groups)
    own = bound(name, {"batch_size": 3}, groups)
    pairs = zip(
        own.batches(np.random.default_rng(2)), islice(its.batches(np.random.default_rng(2)), 9), strict=False
    )
    for one, other in pairs:
        assert one.indices_N.tolist() == other.indices_N.tolist()
        np.testing.assert_array_equal(one.weights_RN, other.weights_RN)
    assert own.expectation().share_N.tolist() == its.expectation().share_N.tolist()


@pytest.mark.parametrize("name", ["crt", "reweight_crt", "dfr"])
def test_the_first_model_is_the_erm_that_it_is_compared_with(name: str) -> None:
    stage = first_stage(name, {"batch_size": 6, "first_share": 0.9})
    assert stage is not None
    assert (stage.algorithm, dict(stage.algorithm_settings)) == ("erm", {"batch_size": 6})
    assert (stage.share, stage.selection, stage.folds) == (0.9, None, 1)
    assert stage.held_out == (0.2 if name == "dfr" else 0)


def test_more_than_half_of_the_patients_cannot_be_held_out() -> None:
    with pytest.raises(ConfigError, match="held_out"):
        first_stage("dfr", {"held_out": 0.6})


class Heads:
    """Trainings of a last layer over the same features."""

    def __init__(self, make: MakeData, settings: TrainSettings) -> None:
        train, validation = make(48, tie=0.75), make(24, tie=0.5, seed=9)
        self.setup = Setup(train, validation, settings, seed=3, quiet=True)
        self.groups = TrainGroups(LAYOUT, train.label_N, train.attribute_N)
        features = new_classifier(self.setup.normalization, settings, 3, 2, seed=5)
        # Running statistics that no single batch has.
        features.train()(
            torch.from_numpy(train.images.read(np.arange(20)).astype(np.float32)).permute(0, 3, 1, 2)
        )
        logits_NK = features.eval().predict_logits(train.images.chunks())
        self.first = FirstModel(features, logits_NK, np.arange(48) // 2 % 2 == 0)

    def trained(self, algorithm: AbstractAlgorithm[TrainGroups, DfrSettings]) -> Classifier:
        trainer = self.setup.trainer(algorithm, self.setup.settings)
        trainer.run(quiet=True)
        return trainer.classifier

    def by_name(self, name: str, **settings: float) -> Classifier:
        return self.trained(make_algorithm(name, {"batch_size": 8} | settings, self.groups, self.first))


@pytest.fixture
def heads(shortcut_data: MakeData, quick: TrainSettings) -> Heads:
    # Weight decay and a moving average would both change features that are only said to be frozen.
    changes = {"weight_decay": 0.01, "weight_average": 0.5, "learning_rate": 0.2}
    return Heads(shortcut_data, quick.model_copy(update=changes))


@pytest.mark.parametrize("name", ["crt", "reweight_crt", "dfr"])
def test_nothing_but_the_last_layer_changes(heads: Heads, name: str) -> None:
    before = deepcopy(heads.first.classifier.state_dict())
    trained = heads.by_name(name)
    head = {id(parameter) for parameter in head_of(trained.backbone).parameters()}
    changed = {key for key, value in trained.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {key for key, value in trained.named_parameters() if id(value) in head}
    assert len(changed) == 2
    assert any("running_mean" in key for key in before)
    for key, value in heads.first.classifier.state_dict().items():
        assert torch.equal(value, before[key]), f"{key} of the first model itself"


def test_without_penalty_dfr_is_plain_retraining(heads: Heads) -> None:
    class Plain(Dfr):
        objective = AbstractAlgorithm.objective

    settings = DfrSettings(batch_size=8, l1=0.0)
    plain = heads.trained(Plain(heads.groups, settings, heads.first)).state_dict()
    without, with_penalty = (heads.by_name("dfr", l1=value).state_dict() for value in (0.0, 0.05))
    assert all(torch.equal(plain[key], without[key]) for key in plain)
    assert not all(torch.equal(plain[key], with_penalty[key]) for key in plain)


def test_a_strong_penalty_leaves_small_weights(heads: Heads) -> None:
    weak, strong = (
        head_of(heads.by_name("dfr", l1=value).backbone).weight.abs().sum() for value in (0.0, 0.2)
    )
    assert strong < 0.5 * weak


def test_the_last_layer_starts_anew(heads: Heads) -> None:
    backbone = deepcopy(heads.first.classifier.backbone)
    only_head(backbone, seed=3)
    assert not torch.equal(head_of(backbone).weight, head_of(heads.first.classifier.backbone).weight)
    other = deepcopy(heads.first.classifier.backbone)
    with torch.no_grad():
        head_of(other).weight.fill_(100.0)
    only_head(other, seed=3)
    assert torch.equal(head_of(backbone).weight, head_of(other).weight)


def test_dfr_has_the_whole_budget_in_spite_of_those_held_out(
    shortcut_data: MakeData, quick: TrainSettings
) -> None:
    # Twelve of 48 samples are held out: of 6 epochs the features get 5, which are 20 / 3 of what they see.
    train = replace(
        shortcut_data(48, tie=0.75, side=16), patient_N=np.array([f"p{n // 2 % 4}" for n in range(48)])
    )
    settings = quick.model_copy(
        update={"backbone": "mlp", "backbone_settings": {"side": 16}, "epochs": 6.0, "augmentation": "none"}
    )
    made = Setup(train, train, settings, seed=0, quiet=True)
    seen: list[float] = []
    run = made.run

    def recorded(trainer: Trainer, name: str, title: str) -> TrainResult:
        result = run(trainer, name, title)
        seen.append(result.history[-1]["samples_seen"])
        return result

    object.__setattr__(made, "run", recorded)
    stage = first_stage("dfr", {"batch_size": 4, "first_share": 5 / 6, "held_out": 0.25})
    assert stage is not None
    first = FirstModels(made, "dfr").get(stage)
    assert first.unseen_N.sum() == 12
    dfr = make_algorithm("dfr", {"batch_size": 4}, made.known, first)
    made.run(made.trainer(dfr, second_settings(settings, stage)), "dfr-0", "")
    assert seen == pytest.approx([240, 48], abs=8), "within a step"
