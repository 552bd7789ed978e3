"""What holds for every algorithm of the registry, and would for one that is added."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from models.algorithms.parts.composition import composition
from models.algorithms.parts.plans import BatchPlan
from models.algorithms.registry import ALGORITHMS
from models.data.dataset import PatchData
from models.groups import GroupLayout, TrainGroups, TrainLabels
from models.training.attempts import FitResult
from models.training.fit import fit
from models.training.loading import LoadedStep
from models.training.making import candidates, first_stage, make_algorithm
from models.training.settings import TrainSettings
from models.training.setup import Setup
from models.training.step import Stepper
from patching.errors import ConfigError, EmptyGroupError
from tests.models.conftest import bound
from tests.models.newcomers import NEWCOMERS

pytestmark = pytest.mark.usefixtures("newcomers")

SHIPPED = tuple(ALGORITHMS)
NAMES = (*SHIPPED, *NEWCOMERS)
STEADY: dict[str, dict[str, Any]] = {"pde": {"warm_up": 1e6}}
"""Settings with which a method's batches stay what its table tells."""


def train_groups(counts: list[list[int]]) -> TrainGroups:
    """A training split with these counts, in shuffled order."""
    layout = GroupLayout(len(counts), len(counts[0]))
    group_N = np.random.default_rng(1).permutation(np.repeat(np.arange(layout.n_groups), np.ravel(counts)))
    return TrainGroups(layout, group_N // layout.n_attributes, group_N % layout.n_attributes)


@pytest.fixture
def groups() -> TrainGroups:
    return train_groups([[70, 10, 5], [4, 60, 31]])


@pytest.mark.parametrize("name", NAMES)
def test_every_role_is_a_mean(name: str, groups: TrainGroups) -> None:
    algorithm = bound(name, {"batch_size": 12}, groups)
    assert len(algorithm.roles) == len(algorithm.coefficients)
    assert sum(algorithm.coefficients) == pytest.approx(1)
    told = algorithm.expectation()
    weight_N = np.divide(told.share_N, told.samples_N, out=np.zeros(len(groups)), where=told.samples_N > 0)
    for plan in islice(algorithm.batches(np.random.default_rng(0)), 20):
        assert plan.indices_N.dtype == np.int64
        assert plan.weights_RN.shape == (len(algorithm.roles), len(plan.indices_N))
        if not np.allclose(plan.weights_RN.sum(axis=1), 1):
            # Then in expectation: by its draws, every sample comes to its share in the loss.
            assert len(algorithm.roles) == 1
            np.testing.assert_allclose(plan.weights_RN[0], weight_N[plan.indices_N])
        assert (plan.weights_RN >= 0).all()
        assert plan.weights_RN.any(axis=0).all()
        assert plan.indices_N.min() >= 0
        assert plan.indices_N.max() < len(groups)


@pytest.mark.parametrize("name", NAMES)
def test_who_goes_on_from_a_first_model_asks_for_one(name: str) -> None:
    kind = ALGORITHMS[name]
    wanted = first_stage(name, {})
    if wanted is None:
        assert kind.start == "fresh"
        return
    assert 0 < wanted.share < 1
    assert first_stage(wanted.algorithm, wanted.algorithm_settings) is None, "two stages, not three"
    if kind.view is TrainLabels:
        assert ALGORITHMS[wanted.algorithm].view is TrainLabels


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_batches(name: str, groups: TrainGroups) -> None:
    algorithm = bound(name, {"batch_size": 12}, groups)

    def plans(seed: int) -> list[list[int]]:
        return [plan.indices_N.tolist() for plan in islice(algorithm.batches(np.random.default_rng(seed)), 5)]

    assert plans(3) == plans(3)
    assert plans(3) != plans(4)


@pytest.mark.parametrize("name", NAMES)
def test_the_composition_tells_what_the_batches_hold(name: str, groups: TrainGroups) -> None:
    """Weights and forward passes of every group, over many steps, are those of the table."""
    algorithm = bound(name, {"batch_size": 10} | STEADY.get(name, {}), groups)
    n_groups, n_steps = groups.layout.n_groups, 3000
    weight_G, samples_G = np.zeros(n_groups), np.zeros(n_groups)
    for plan in islice(algorithm.batches(np.random.default_rng(2)), n_steps):
        group_N = groups.group_N[plan.indices_N]
        weight_G += np.bincount(group_N, weights=algorithm.sample_weights(plan), minlength=n_groups) / n_steps
        samples_G += np.bincount(group_N, minlength=n_groups) / n_steps
    table = composition(algorithm.expectation(), groups)
    np.testing.assert_allclose(weight_G, table.share_KA.ravel(), atol=0.006)
    np.testing.assert_allclose(samples_G, table.samples_KA.ravel(), atol=0.06)
    assert samples_G.sum() == pytest.approx(algorithm.samples_per_step, rel=0.005)
    assert table.share_KA.sum() == pytest.approx(1)
    rows = json.loads(json.dumps(table.rows()))
    assert [row["count"] for row in rows] == groups.counts_KA.ravel().tolist()
    assert rows[4]["group"] == "label 1, attribute 1"
    assert rows[4]["p_trained"] == pytest.approx(table.p_KA[1, 1])


def test_targets_of_the_baselines(groups: TrainGroups) -> None:
    made = {name: composition(bound(name, {}, groups).expectation(), groups) for name in NAMES}
    np.testing.assert_allclose(made["erm"].share_KA, groups.counts_KA / 180)
    np.testing.assert_allclose(made["class_balanced"].share_KA, groups.alpha_KA / 2)
    for name in ("group_resampling", "reweight", "subg", "crt", "reweight_crt", "dfr"):
        np.testing.assert_allclose(made[name].share_KA, 1 / 6)


def test_erm_passes_through_the_split(groups: TrainGroups) -> None:
    erm = make_algorithm("erm", {"batch_size": 15}, groups)
    times = Counter(
        n for plan in islice(erm.batches(np.random.default_rng(0)), 12) for n in plan.indices_N.tolist()
    )
    assert times == dict.fromkeys(range(180), 2)


def test_a_group_below_its_quota_is_drawn_evenly_with_replacement() -> None:
    groups = train_groups([[3, 50], [50, 50]])
    resampling = make_algorithm("group_resampling", {"batch_size": 20}, groups)
    plan = next(resampling.batches(np.random.default_rng(0)))
    times = Counter(plan.indices_N.tolist())
    assert sorted(times[n] for n in groups.members(0, 0).tolist()) == [3, 3, 4]
    assert max(times[n] for n in times if n not in groups.members(0, 0)) == 1


@pytest.mark.parametrize("name", ["group_resampling", "reweight", "sqrt_reweight", "subg", "gerne"])
def test_an_empty_group_is_an_error_where_it_is_needed(name: str) -> None:
    with pytest.raises(EmptyGroupError, match="label 1, attribute 0"):
        make_algorithm(name, {}, train_groups([[3, 5], [0, 5]]))


@pytest.mark.parametrize("name", ["erm", "class_balanced", "cb_loss"])
def test_an_empty_group_is_none_where_it_is_not(name: str) -> None:
    algorithm = make_algorithm(name, {"batch_size": 6}, train_groups([[3, 5], [0, 5]]))
    assert next(algorithm.batches(np.random.default_rng(0))).indices_N.size == 12


def test_class_balanced_runs_without_attributes() -> None:
    groups = train_groups([[30], [6]])
    blind = make_algorithm("class_balanced", {"batch_size": 5}, groups.labels)
    plan = next(blind.batches(np.random.default_rng(0)))
    assert np.bincount(groups.label_N[plan.indices_N]).tolist() == [5, 5]


def test_the_loss_is_the_weighted_sum(groups: TrainGroups) -> None:
    gerne = make_algorithm("gerne", {"c": 0.5, "beta": 1.0}, groups)
    plan = BatchPlan(np.array([4, 2, 9]), np.array([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5]]))
    losses_N = torch.tensor([1.0, 4.0, 0.5], dtype=torch.bfloat16, requires_grad=True)
    loss = gerne.loss(losses_N, plan)
    # (1 + 1) (0.5 + 0.25) - 1 (0.5 + 2) = -1: negative is legal.
    assert loss.item() == -1.0
    assert loss.dtype == torch.float32
    loss.backward()
    assert losses_N.grad is not None
    assert losses_N.grad.tolist() == [0.5, -0.5, 1.0]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("jtt2", {}),
        ("erm", {"beta": 1}),
        ("erm", {"batch_size": 0}),
        ("gerne", {"c": 0}),
        ("gerne", {"c": 1.5}),
        ("gerne", {"beta": float("nan")}),
        ("gerne", {"rounding": "nearest"}),
        ("class_balanced", {"draws": "nested"}),
    ],
)
def test_wrong_settings_are_told(name: str, settings: dict[str, Any], groups: TrainGroups) -> None:
    with pytest.raises(ConfigError) as caught:
        make_algorithm(name, settings, groups)
    assert (next(iter(settings)) if settings else name) in str(caught.value)


def test_candidates_default_to_one_empty_override() -> None:
    assert candidates({"batch_size": 3}) == ({},)
    assert candidates({"candidates": [{"beta": 1.0}, {"c": 1.0, "beta": 0}]}) == (
        {"beta": 1.0},
        {"c": 1.0, "beta": 0},
    )
    for wrong in ([], "beta", [1.0], None):
        with pytest.raises(ConfigError, match="candidates"):
            candidates({"candidates": wrong})


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_yaml_makes_its_algorithm(name: str, repository: Path, groups: TrainGroups) -> None:
    settings = yaml.safe_load((repository / "configs" / "algorithms" / f"{name}.yaml").read_text())
    for override in candidates(settings):
        algorithm = bound(name, {**settings, **override}, groups)
        assert next(algorithm.batches(np.random.default_rng(0))).indices_N.size


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_yaml_begins_with_its_source(name: str, repository: Path) -> None:
    text = (repository / "configs" / "algorithms" / f"{name}.yaml").read_text()
    comment = " ".join(line for line in text.splitlines() if line.startswith("#"))
    assert text.startswith("# ")
    assert re.search(r"arXiv \d{4}\.\d{4,5}|\b(19|20)\d\d\b", comment), "a paper, by arXiv number or year"


@pytest.fixture
def tiny_fit(
    shortcut_data: Callable[..., PatchData], quick: TrainSettings, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[FitResult, int]]:
    """Fits a tiny network in a few steps; also tells how many. `stop`: the step that is interrupted."""
    settings = quick.model_copy(
        update={
            "backbone": "resnet10_slim",
            "backbone_settings": {"planes": [4, 4, 8, 8]},
            "augmentation": "none",
            "epochs": 4.0,
            "validate_every": 0.25,
            "log_gradients": True,
        }
    )
    take, patient_N = Stepper.__call__, np.array([f"p{n // 2 % 5}" for n in range(24)])

    def run(name: str, folder: Path, stop: int = 0) -> tuple[FitResult, int]:
        steps = 0

        def counted(self: Stepper, loaded: LoadedStep) -> dict[str, float]:
            nonlocal steps
            steps += 1
            if steps == stop:
                raise KeyboardInterrupt
            return take(self, loaded)

        monkeypatch.setattr(Stepper, "__call__", counted)
        train = replace(shortcut_data(24, tie=0.6, side=16), patient_N=patient_N)
        validation = shortcut_data(8, tie=0.5, seed=9, side=16)
        setup = Setup(train, validation, settings, seed=0, working_folder=folder, quiet=True)
        return fit(setup, name, {"batch_size": 4}), steps

    return run


@pytest.mark.parametrize("name", NAMES)
def test_trains_and_goes_on_from_an_interruption_as_if_there_had_been_none(
    name: str, tiny_fit: Callable[..., tuple[FitResult, int]], tmp_path: Path
) -> None:
    """To the last bit: weights, history, and whatever the method remembers from step to step."""
    whole, steps = tiny_fit(name, tmp_path / "whole")
    assert steps >= 2
    assert len(whole.history) >= 2
    assert all(math.isfinite(row["train_loss"]) for row in whole.history)
    with pytest.raises(KeyboardInterrupt):
        tiny_fit(name, tmp_path / "stopped", stop=steps)
    resumed, left = tiny_fit(name, tmp_path / "stopped")
    assert left < steps, "what was done is not done again"
    assert repr(resumed.trials) == repr(whole.trials)
    weights = resumed.classifier.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in whole.classifier.state_dict().items())
