"""The training loop: determinism, resuming, budgets, divergence."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.algorithms.base import AbstractAlgorithm
from models.algorithms.parts.composition import Expectation
from models.algorithms.parts.networks import Networks
from models.algorithms.parts.plans import Batch, BatchPlan
from models.data.dataset import PatchData
from models.data.normalization import measure_normalization
from models.groups import GroupLayout, TrainGroups
from models.metrics.selection import Judge
from models.training.loop import Trainer
from models.training.making import make_algorithm
from models.training.optimization import evenly_spaced, learning_rate, precision
from models.training.settings import TrainSettings
from models.training.setup import new_classifier
from patching.errors import CheckpointError, DivergenceError

MakeData = Callable[..., PatchData]
GERNE = {"batch_size": 8, "c": 0.5, "beta": 1.0}


def bind(data: PatchData, name: str = "gerne", **settings: Any) -> AbstractAlgorithm[Any, Any]:
    groups = TrainGroups(GroupLayout(2, 2), data.label_N, data.attribute_N)
    return make_algorithm(name, GERNE | settings if name == "gerne" else {"batch_size": 8} | settings, groups)


def trainer(
    make: MakeData,
    settings: TrainSettings,
    algorithm: AbstractAlgorithm[Any, Any] | None = None,
    seed: int = 1,
) -> Trainer:
    train, validation = make(96), make(40, seed=9)
    normalization = measure_normalization(train.images, train.tissue_fraction_N, settings.transform)
    classifier = new_classifier(normalization, settings, 3, 2, seed)
    judge = Judge(validation, GroupLayout(2, 2), settings.selection, settings.minimum_validation_patches, 1)
    return Trainer(classifier, algorithm or bind(train), train.labelled, judge, settings, seed)


def weights(made: Trainer) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in made.classifier.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


class Interrupting(AbstractAlgorithm[TrainGroups, Any]):
    """An algorithm whose batches stop coming, as when a process is told to end."""

    def __init__(self, inner: AbstractAlgorithm[Any, Any], after: int) -> None:
        super().__init__(inner.train, inner.settings)
        self.inner, self.after = inner, after
        self.roles, self.coefficients = inner.roles, inner.coefficients

    @property
    def samples_per_step(self) -> float:
        return self.inner.samples_per_step

    def batches(self, rng: np.random.Generator) -> Iterator[BatchPlan]:
        for step, plan in enumerate(self.inner.batches(rng)):
            if step == self.after:
                raise KeyboardInterrupt
            yield plan

    def expectation(self) -> Expectation:
        return self.inner.expectation()


def test_same_seed_gives_the_same_weights(shortcut_data: MakeData, quick: TrainSettings) -> None:
    first, again, other = (trainer(shortcut_data, quick, seed=seed) for seed in (1, 1, 2))
    results = [each.run(quiet=True) for each in (first, again, other)]
    assert same(weights(first), weights(again))
    assert not same(weights(first), weights(other))
    assert results[0].history == results[1].history


def test_leaves_the_global_random_state_alone(shortcut_data: MakeData, quick: TrainSettings) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    trainer(shortcut_data, quick).run(quiet=True)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "weight_average": 0.9, "augmentation": "default"},
        {"optimizer": "adamw", "batch_norm": "separate", "backbone_settings": {"dropout_prob": 0.2}},
    ],
)
def test_interrupted_and_resumed_equals_uninterrupted(
    shortcut_data: MakeData, quick: TrainSettings, tmp_path: Path, changes: dict[str, Any]
) -> None:
    settings = quick.model_copy(update={"epochs": 4.0, **changes})
    whole = trainer(shortcut_data, settings)
    expected = whole.run(quiet=True)
    path = tmp_path / "work" / "last.safetensors"
    after = whole.steps - 3
    stopped = trainer(shortcut_data, settings, Interrupting(whole.algorithm, after))
    with pytest.raises(KeyboardInterrupt):
        stopped.run(state_path=path, fingerprint="a", quiet=True)
    seen = Interrupting(whole.algorithm, -1)
    resumed = trainer(shortcut_data, settings, seen)
    result = resumed.run(state_path=path, fingerprint="a", quiet=True)
    assert same(weights(whole), weights(resumed))
    assert result == expected
    assert [file.name for file in path.parent.iterdir()] == ["last.safetensors"]


def test_state_of_another_training_is_not_taken_up(
    shortcut_data: MakeData, quick: TrainSettings, tmp_path: Path
) -> None:
    path = tmp_path / "last.safetensors"
    trainer(shortcut_data, quick, seed=2).run(state_path=path, fingerprint="other", quiet=True)
    fresh, expected = trainer(shortcut_data, quick), trainer(shortcut_data, quick)
    fresh.run(state_path=path, fingerprint="this", quiet=True)
    expected.run(quiet=True)
    assert same(weights(fresh), weights(expected))


def test_damaged_state_is_refused(shortcut_data: MakeData, quick: TrainSettings, tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    path.write_bytes(b"\x80\x04 cut off")
    with pytest.raises(CheckpointError, match="start over"):
        trainer(shortcut_data, quick).run(state_path=path, quiet=True)


def test_budget_is_in_samples_seen(shortcut_data: MakeData, quick: TrainSettings) -> None:
    for name in ("erm", "gerne"):
        made = trainer(shortcut_data, quick, bind(shortcut_data(96), name))
        history = made.run(quiet=True).history
        assert made.steps == math.ceil(2 * 96 / made.algorithm.samples_per_step)
        assert history[-1]["step"] == made.steps
        assert history[-1]["samples_seen"] == pytest.approx(2 * 96, abs=2 * made.algorithm.samples_per_step)
        assert history[-1]["epoch"] == pytest.approx(history[-1]["samples_seen"] / 96, abs=1e-3)
        assert len(history) == 2


def test_keeps_the_weights_of_the_best_validation(shortcut_data: MakeData, quick: TrainSettings) -> None:
    settings = quick.model_copy(update={"epochs": 6.0, "learning_rate": 0.1, "schedule": "constant"})
    made = trainer(shortcut_data, settings)
    result = made.run(quiet=True)
    logits_NK = made.classifier.predict_logits(made.judge.patches.images.chunks())
    figures = made.judge.figures(logits_NK)
    assert figures["validation_wga"] == result.best["validation_wga"]
    assert figures["validation_loss"] == pytest.approx(result.best["validation_loss"])
    assert result.best["validation_wga"] == max(row["validation_wga"] for row in result.history)
    assert result.score.figure == result.best["validation_wga"]


def test_divergence_names_step_and_patches_and_keeps_the_state(
    shortcut_data: MakeData, quick: TrainSettings, tmp_path: Path
) -> None:
    path = tmp_path / "last.safetensors"
    made = trainer(shortcut_data, quick)
    poisoned = made.validation_steps and min(made.validation_steps) + 1
    plans = []

    class Poisoned(Interrupting):
        def loss(self, losses_N: torch.Tensor, plan: BatchPlan) -> torch.Tensor:
            plans.append(plan)
            total = super().loss(losses_N, plan)
            return total * math.nan if len(plans) == poisoned else total

    broken = trainer(shortcut_data, quick, Poisoned(made.algorithm, -1))
    with pytest.raises(DivergenceError, match=f"step {poisoned} of") as caught:
        broken.run(state_path=path, fingerprint="a", quiet=True)
    assert str(plans[-1].indices_N.tolist()) in caught.value.has
    resumed = trainer(shortcut_data, quick)
    resumed.run(state_path=path, fingerprint="a", quiet=True)
    made.run(quiet=True)
    assert same(weights(made), weights(resumed))


def test_divergence_with_companions_names_step_and_patches_and_keeps_the_state(
    shortcut_data: MakeData, quick: TrainSettings, tmp_path: Path
) -> None:
    """A gradient that is not finite in a network beside the classifier alone, whose loss stays finite."""
    path, steps = tmp_path / "last.safetensors", []

    class Beside(Interrupting):
        companions = ("biased",)
        poisoned = -1

        def objective(self, networks: Networks, batch: Batch) -> torch.Tensor:
            beside = super().objective(networks.using("biased"), batch)
            steps.append(batch.plan.indices_N.tolist())
            if len(steps) == self.poisoned:
                beside.register_hook(lambda gradient: gradient * math.nan)
            return super().objective(networks, batch) + beside

    def made(poisoned: int) -> Trainer:
        plain = trainer(shortcut_data, quick)
        method = Beside(plain.algorithm, -1)
        method.poisoned = poisoned
        beside = new_classifier(plain.classifier.normalization, quick, 3, 2, seed=8)
        return Trainer(
            trainer(shortcut_data, quick).classifier, method, plain.data, plain.judge, quick, 1,
            companions={"biased": beside},
        )  # fmt: skip

    whole = made(-1)
    whole.run(quiet=True)
    steps.clear()
    poisoned = min(whole.validation_steps) + 1
    with pytest.raises(DivergenceError, match=f"gradient norm nan at step {poisoned} of") as caught:
        made(poisoned).run(state_path=path, fingerprint="a", quiet=True)
    assert str(steps[-1]) in caught.value.has
    resumed = made(-1)
    resumed.run(state_path=path, fingerprint="a", quiet=True)
    assert same(weights(whole), weights(resumed))
    biased, expected = resumed.companions["biased"].state_dict(), whole.companions["biased"].state_dict()
    assert same(biased, expected)


def test_parts_of_a_step_train_as_the_whole(shortcut_data: MakeData, quick: TrainSettings) -> None:
    settings = quick.model_copy(update={"batch_norm": "frozen", "log_gradients": True})
    whole = trainer(shortcut_data, settings)
    parts = trainer(shortcut_data, settings.model_copy(update={"micro_batch": 5, "prefetch": 2}))
    before, one, other = weights(whole), whole.run(quiet=True), parts.run(quiet=True)
    for key, value in weights(whole).items():
        torch.testing.assert_close(weights(parts)[key], value, rtol=1e-4, atol=1e-5)
    assert not same(before, weights(parts))
    for expected, found in zip(one.history, other.history, strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_gradients_are_clipped_and_the_rate_is_logged(shortcut_data: MakeData, quick: TrainSettings) -> None:
    clipped = trainer(shortcut_data, quick.model_copy(update={"clip_norm": 1e-6}))
    before = weights(clipped)
    rows = clipped.run(quiet=True).history
    assert all(row["clip_rate"] == 1 and row["gradient_norm"] > 1e-6 for row in rows)
    moved = [
        (before[k] - v).abs().max() for k, v in weights(clipped).items() if "conv" in k and "weight" in k
    ]
    assert max(moved) < 1e-3
    free = trainer(shortcut_data, quick).run(quiet=True).history
    assert all(row["clip_rate"] == 0 for row in free)


def test_gradient_diagnosis_names_the_roles(shortcut_data: MakeData, quick: TrainSettings) -> None:
    settings = quick.model_copy(update={"log_gradients": True, "log_gradients_every": 1})
    plain, logged = trainer(shortcut_data, quick), trainer(shortcut_data, settings)
    plain.run(quiet=True)
    row = logged.run(quiet=True).history[0]
    assert -1 <= row["gradient_cosine"] <= 1
    assert row["gradient_norm_biased"] > 0
    assert row["gradient_norm_less_biased"] > 0
    assert same(weights(plain), weights(logged))


def test_weight_average_is_what_is_kept(shortcut_data: MakeData, quick: TrainSettings) -> None:
    plain = trainer(shortcut_data, quick)
    averaged = trainer(shortcut_data, quick.model_copy(update={"weight_average": 0.99}))
    plain.run(quiet=True)
    averaged.run(quiet=True)
    assert not same(weights(plain), weights(averaged))


def test_learning_rate_rises_then_falls() -> None:
    settings = TrainSettings(learning_rate=0.5, warmup=0.1, schedule="cosine")
    rates = [learning_rate(step, 100, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.05)
    assert max(rates) == rates[10] == pytest.approx(0.5)
    assert rates[55] == pytest.approx(0.25)
    assert rates[99] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)
    constant = settings.model_copy(update={"schedule": "constant"})
    assert learning_rate(99, 100, constant) == 0.5


@pytest.mark.parametrize(("steps", "validations"), [(10, 3), (1, 1), (2, 5), (116, 12)])
def test_validations_are_spread_and_end_with_the_training(steps: int, validations: int) -> None:
    found = sorted(evenly_spaced(steps, validations))
    assert found[-1] == steps
    assert found[0] >= 1
    assert len(found) == min(steps, validations)
    assert np.ptp(np.diff([0, *found])) <= 1


def test_precision_on_a_cpu_is_full_unless_asked() -> None:
    assert precision(TrainSettings(device="cpu")) == "no"
    assert precision(TrainSettings(mixed_precision="fp32")) == "no"
    assert precision(TrainSettings(mixed_precision="bf16")) == "bf16"


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="learning_rat"):
        TrainSettings.model_validate({"learning_rat": 0.1})
